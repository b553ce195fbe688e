# SPDX-License-Identifier: MIT
# hawser: everything goes to build/; what takes long (kernel, BusyBox) is cached outside the tree, see scripts/.
# `make help` names the targets.

BUILD := build
VERSION := 0.1
PREFIX ?= /usr/local
DESTDIR ?=

CC ?= gcc
MUSL_CC ?= musl-gcc
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
V ?= 0
Q := $(if $(filter 0,$(V)),@)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef \
	-Wno-missing-field-initializers
COMMON := -std=c11 -D_GNU_SOURCE $(WARN) -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)/=

# --- the guest: static musl, small ---------------------------------------------------------------------------------
INIT_CFLAGS := $(COMMON) -Oz -fcf-protection=none -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -flto
# A static PIE by hand: musl-gcc's specs would name a dynamic linker for -static-pie. The kernel places it at random.
MUSL_LIB ?= /usr/lib/$(shell uname -m)-linux-musl
INIT_LDFLAGS := -static -nostartfiles -Wl,-pie,--no-dynamic-linker,--gc-sections,--build-id=none \
	-Wl,-z,relro,-z,now,-z,noexecstack,-z,text,-z,noseparate-code
INIT_SRC := $(wildcard init/*.c)
VSOCK_SRC := $(wildcard vsock/*.c)
INIT_OBJ := $(INIT_SRC:%.c=$(BUILD)/guest/%.o) $(VSOCK_SRC:%.c=$(BUILD)/guest/%.o)

# --- the host: glibc and Debian's libraries ------------------------------------------------------------------------
HOST_LIBS := jansson nettle libsystemd libseccomp
HOST_CFLAGS := $(COMMON) -DHAWSER_VERSION='"$(VERSION)"' -O2 -g -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
HOST_LDFLAGS := -pie -Wl,-z,relro,-z,now
HOST_MAIN := hawserd hawser
HOST_OBJ := $(patsubst %.c,$(BUILD)/host-obj/%.o,$(filter-out $(HOST_MAIN:%=host/%.c),$(wildcard host/*.c)) $(VSOCK_SRC))

.PHONY: all
all: $(BUILD)/init $(HOST_MAIN:%=$(BUILD)/%)

.PHONY: help
help:
	@echo "make               init, hawserd and hawser, into build/"
	@echo "make run           set up what is missing, boot examples/hello, its log on the terminal"
	@echo "make check         unit tests under ASan and UBSan, lint, boundaries, ELF: no machine is booted"
	@echo "make analyze       gcc -fanalyzer, clang-tidy, cppcheck, and the form of the C"
	@echo "make test          set up what is missing, then every test; ends with 'N passed, N failed'"
	@echo "make lab           only the tests of a host with the kernel's vhost_vsock, in a machine of their own"
	@echo "make fuzz          each reader of outside bytes, a minute (FUZZ_S)"
	@echo "make coverage      what of each parser unit tests and the fuzzers' corpus reach"
	@echo "make faults        each fault of docs/FAULTS.md, done to the real programs, as a table"
	@echo "make soak          the log of 20 guests under random kills (SOAK_SECONDS), a million visits (SOAK_VISITS)"
	@echo "make size          bytes of each part; writes build/size.json"
	@echo "make bench         measurements beside peers, all or BENCH=PART; writes build/bench.json and build/bench/"
	@echo "make results       what make bench measured last, as docs/RESULTS.md"
	@echo "make repro         builds everything twice, in two places, and compares"
	@echo "make deps          installs the Debian packages (as root; otherwise prints the command)"
	@echo "make install       into DESTDIR and PREFIX ($(PREFIX))"

$(BUILD)/guest/%.o: %.c
	@mkdir -p $(@D)
	@echo "  MUSL  $<"
	$(Q)$(MUSL_CC) $(INIT_CFLAGS) -isystem $$(scripts/musl-headers) -MMD -MP -c -o $@ $<

$(BUILD)/init.debug: $(INIT_OBJ)
	@echo "  LINK  $@"
	$(Q)$(MUSL_CC) $(INIT_CFLAGS) $(INIT_LDFLAGS) -o $@ $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o $^ $(MUSL_LIB)/crtn.o

# Without names, and without the notes that no loader reads.
$(BUILD)/init: $(BUILD)/init.debug
	$(Q)strip -s -R .comment -R .note.gnu.property -R .note.ABI-tag -o $@ $<

# The relay of that init in a guest that is a process: for tests of many guests, and on the host's side.
$(BUILD)/relay-machine: $(BUILD)/guest/tests/relay/machine.o $(filter-out $(BUILD)/guest/init/main.o,$(INIT_OBJ))
	@echo "  LINK  $@"
	$(Q)$(MUSL_CC) $(INIT_CFLAGS) -static -no-pie -o $@ $^

# The same with UBSan, whose findings are traps: a boot that comes through has none.
$(BUILD)/guest-ubsan/%.o: %.c
	@mkdir -p $(@D)
	@echo "  UBSAN $<"
	$(Q)$(MUSL_CC) $(filter-out -flto,$(INIT_CFLAGS)) -fsanitize=undefined -fsanitize-undefined-trap-on-error \
		-isystem $$(scripts/musl-headers) -MMD -MP -c -o $@ $<

$(BUILD)/init-ubsan: $(INIT_OBJ:$(BUILD)/guest/%=$(BUILD)/guest-ubsan/%)
	@echo "  LINK  $@"
	$(Q)$(MUSL_CC) $(INIT_CFLAGS) $(INIT_LDFLAGS) -o $@ $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o $^ $(MUSL_LIB)/crtn.o

# Thousands of guests in one process, for measurements and soaks of the host's side.
$(BUILD)/fleet: $(BUILD)/host-obj/tests/bench/fleet.o $(BUILD)/libhawser.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(HOST_CFLAGS) $(HOST_LDFLAGS) -o $@ $^

$(BUILD)/host-obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(HOST_CFLAGS) $(shell $(PKG_CONFIG) --cflags $(HOST_LIBS)) -MMD -MP -c -o $@ $<

$(BUILD)/libhawser.a: $(HOST_OBJ)
	@echo "  AR    $@"
	@rm -f $@
	$(Q)ar qcsD $@ $^

$(HOST_MAIN:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/host-obj/host/%.o $(BUILD)/libhawser.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(HOST_CFLAGS) $(HOST_LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs $(HOST_LIBS))

# --- the image: kernel, BusyBox, initramfs; each script knows by itself whether anything has to be done -------------
IMAGE := $(BUILD)/vmlinux $(BUILD)/bzImage $(BUILD)/initramfs.cpio $(BUILD)/vhost-device-vsock

.PHONY: image
image: $(IMAGE)

.PHONY: FORCE
FORCE:

$(BUILD)/kernel: FORCE
	@mkdir -p $(@D)
	$(Q)kernel=$$(scripts/kernel) && ln -sfn "$$kernel" $@

$(BUILD)/vmlinux $(BUILD)/bzImage: $(BUILD)/%: $(BUILD)/kernel
	$(Q)ln -sfn kernel/$* $@

$(BUILD)/busybox: FORCE
	@mkdir -p $(@D)
	$(Q)busybox=$$(scripts/busybox) && ln -sfn "$$busybox/busybox" $@

$(BUILD)/initramfs.cpio: $(BUILD)/init $(BUILD)/busybox $(wildcard rootfs/*) scripts/initramfs
	$(Q)scripts/initramfs --init $(BUILD)/init -o $@ >/dev/null

$(BUILD)/vhost-device-vsock: FORCE
	@mkdir -p $(@D)
	$(Q)program=$$(scripts/fetch vhost-device-vsock) && ln -sfn "$$program" $@

.PHONY: deps
deps:
	@scripts/deps

.PHONY: run
run:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 all image
	@$(BUILD)/hawser run examples/hello

# --- unit tests: each tests/unit/NAME.c is a cmocka program, built with ASan and UBSan against the host's objects --
UNIT := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c))
SAN_CFLAGS := $(COMMON) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_SRC := $(filter-out $(HOST_MAIN:%=host/%.c),$(wildcard host/*.c)) $(VSOCK_SRC) \
	$(filter-out init/main.c,$(INIT_SRC))
SAN_OBJ := $(SAN_SRC:%.c=$(BUILD)/san/%.o)

$(BUILD)/san/%.o: %.c
	@mkdir -p $(@D)
	@echo "  SAN   $<"
	$(Q)$(CC) $(SAN_CFLAGS) $(shell $(PKG_CONFIG) --cflags $(HOST_LIBS)) -MMD -MP -c -o $@ $<

$(BUILD)/san/libhawser.a: $(SAN_OBJ)
	@rm -f $@
	$(Q)ar qcsD $@ $^

$(UNIT:%=$(BUILD)/unit/%): $(BUILD)/unit/%: $(BUILD)/san/tests/unit/%.o $(BUILD)/san/libhawser.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(SAN_CFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs $(HOST_LIBS)) -lcmocka

# --- fuzzing: each tests/fuzz/fuzz_NAME.c is a libFuzzer target, built by clang from the real sources; and both of
# these again, to see what is reached -------------------------------------------------------------------------------
CLANG ?= clang
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SESSIONS := wire frame boot_guest boot_host log_guest log_host control_guest control_tool
CLANG_CFLAGS := $(filter-out -Wno-unknown%,$(COMMON)) -DHAWSER_VERSION='"$(VERSION)"' -O1 -g -fno-omit-frame-pointer \
	$(shell $(PKG_CONFIG) --cflags $(HOST_LIBS))
FUZZ_CFLAGS := $(CLANG_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# Without the guest's own snprintf, which would be everybody's.
CLANG_SRC := $(filter-out init/format.c,$(SAN_SRC))
FUZZ_OBJ := $(CLANG_SRC:%.c=$(BUILD)/fuzz-obj/%.o)

$(BUILD)/fuzz-obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz-obj/libhawser.a: $(FUZZ_OBJ)
	@rm -f $@
	$(Q)ar qcsD $@ $^

$(FUZZ_SESSIONS:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: $(BUILD)/fuzz-obj/tests/fuzz/mutate.o
$(FUZZ:%=$(BUILD)/fuzz/%): $(BUILD)/fuzz/%: $(BUILD)/fuzz-obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz-obj/tests/fuzz/fuzz.o \
	$(BUILD)/fuzz-obj/libhawser.a
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) \
		$(shell $(PKG_CONFIG) --libs $(HOST_LIBS)) -lcmocka

# And once more, with counters: for what unit tests and the corpus reach.
COV_CFLAGS := $(CLANG_CFLAGS) -fprofile-instr-generate -fcoverage-mapping
COV_FUZZ := $(FUZZ:%=$(BUILD)/cov/fuzz/%)
COV_UNIT := $(UNIT:%=$(BUILD)/cov/unit/%)

$(BUILD)/cov/%.o: %.c
	@mkdir -p $(@D)
	@echo "  COV   $<"
	$(Q)$(CLANG) $(COV_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/cov/libhawser.a: $(CLANG_SRC:%.c=$(BUILD)/cov/%.o)
	@rm -f $@
	$(Q)ar qcsD $@ $^

$(FUZZ_SESSIONS:%=$(BUILD)/cov/fuzz/%): $(BUILD)/cov/fuzz/%: $(BUILD)/cov/tests/fuzz/mutate.o
$(COV_FUZZ): $(BUILD)/cov/fuzz/%: $(BUILD)/cov/tests/fuzz/fuzz_%.o $(BUILD)/cov/tests/fuzz/fuzz.o $(BUILD)/cov/libhawser.a
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(COV_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) \
		$(shell $(PKG_CONFIG) --libs $(HOST_LIBS)) -lcmocka

$(COV_UNIT): $(BUILD)/cov/unit/%: $(BUILD)/cov/tests/unit/%.o $(BUILD)/cov/libhawser.a
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(COV_CFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs $(HOST_LIBS)) -lcmocka

.PHONY: coverage coverage-build
coverage-build: $(COV_UNIT) $(COV_FUZZ)

coverage:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 coverage-build
	@$(PYTHON) scripts/coverage

# FUZZ_S seconds for each target. make test does a few, and the corpus.
.PHONY: fuzz fuzz-build
fuzz-build: $(FUZZ:%=$(BUILD)/fuzz/%)

fuzz:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 fuzz-build
	@$(PYTHON) scripts/fuzz

# --- checks and tests ----------------------------------------------------------------------------------------------
PYTEST := $(PYTHON) -m pytest -q -p no:cacheprovider

.PHONY: unit
unit: $(UNIT:%=$(BUILD)/unit/%)
	$(Q)$(PYTEST) tests/test_unit.py

# No machine is booted here.
.PHONY: check
check: all $(UNIT:%=$(BUILD)/unit/%)
	$(Q)$(PYTEST) tests/test_unit.py tests/test_tree.py

# What lint there is besides is in make check, since it takes no time. This takes a minute or two, the first time.
.PHONY: analyze
analyze:
	@scripts/deps
	@CC=$(CC) MUSL_CC=$(MUSL_CC) $(PYTHON) scripts/analyze

.PHONY: test
test:
	@scripts/deps build test bench
	@$(MAKE) --no-print-directory -j2 all image $(BUILD)/relay-machine $(BUILD)/fleet $(UNIT:%=$(BUILD)/unit/%) \
		fuzz-build coverage-build
	@$(PYTEST) -n 2 --dist loadgroup tests

# A guest that is itself a host with KVM and vhost_vsock, and what is tested on it: see tests/lab/__init__.py.
.PHONY: lab
lab:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 all image
	@$(PYTEST) tests/lab

# Every row of docs/FAULTS.md: FAULTS_S seconds for what is random, FAULTS_SEED to have it again.
.PHONY: faults
faults:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 all image $(BUILD)/relay-machine $(BUILD)/fleet $(UNIT:%=$(BUILD)/unit/%)
	@$(PYTHON) scripts/faults

# Random kills of hawserd, relays and connections while 20 guests write checksummed lines: SOAK_SECONDS, SOAK_SEED. And
# guests that come, say HELLO and are gone: SOAK_VISITS. Together within five minutes, as they stand here.
.PHONY: soak
soak:
	@scripts/deps
	@$(MAKE) --no-print-directory -j2 all $(BUILD)/relay-machine $(BUILD)/fleet
	@SOAK_SECONDS=$${SOAK_SECONDS:-120} SOAK_VISITS=$${SOAK_VISITS:-1000000} \
		$(PYTEST) -s tests/host/test_soak.py tests/host/test_fleet.py::test_visitors_leave_nothing_behind

.PHONY: size
size: all image
	@$(PYTHON) scripts/size

# BENCH: names of parts, see tests/bench/run.py.
.PHONY: bench results
bench:
	@scripts/deps build test bench
	@$(MAKE) --no-print-directory -j2 all image $(BUILD)/fleet
	@$(PYTHON) tests/bench/run.py $(BENCH)

results:
	@$(PYTHON) tests/bench/run.py --docs

.PHONY: repro
repro:
	@scripts/deps
	@scripts/repro

# --- the manual, and all of it in its places ------------------------------------------------------------------------
.PHONY: manual
manual:
	$(Q)scripts/manual $(BUILD)/man

INSTALL_DIRS := bin sbin share/hawser share/doc/hawser share/bash-completion/completions \
	share/man/man1 share/man/man5 share/man/man8 lib/systemd/system lib/sysusers.d

.PHONY: install
install: all image manual
	install -d $(INSTALL_DIRS:%=$(DESTDIR)$(PREFIX)/%)
	install -s -m 755 $(BUILD)/hawser $(DESTDIR)$(PREFIX)/bin/
	install -s -m 755 $(BUILD)/hawserd $(DESTDIR)$(PREFIX)/sbin/
	install -m 644 $(BUILD)/init $(BUILD)/initramfs.cpio $(BUILD)/vmlinux $(BUILD)/bzImage \
		$(DESTDIR)$(PREFIX)/share/hawser/
	for section in 1 5 8; do \
		install -m 644 $(BUILD)/man/*.$$section $(DESTDIR)$(PREFIX)/share/man/man$$section/ || exit; \
	done
	install -m 644 host/system/hawser.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hawser
	ln -sf hawser $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hawserd
	install -m 644 host/system/hawserd.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/
	sed 's|@sbindir@|$(PREFIX)/sbin|' host/system/hawserd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/hawserd.service
	install -m 644 host/system/hawser.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/hawser.conf
	install -m 644 README.md LICENSE docs/*.md docs/*.json $(DESTDIR)$(PREFIX)/share/doc/hawser/

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
