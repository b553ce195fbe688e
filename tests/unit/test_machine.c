/* SPDX-License-Identifier: MIT */
/* Command lines, the socket that is looked at and not touched, and the answer that is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../host/accel.h"
#include "../../host/machine.h"
#include "../../host/ticks.h"

/* All words in one text, "|" between. */
static char *joined(struct arglist *args)
{
	static char text[2048];
	*text = '\0';
	assert_false(args->failed);
	for (size_t i = 0; i < args->n; i++) {
		strcat(text, i ? "|" : "");
		strcat(text, args->v[i]);
	}
	arglist_finish(args);
	return text;
}

static void test_tcg(void **state)
{
	(void)state;
	struct machine m = { .qemu = "/q", .kernel = "/k", .initrd = "/i", .cid = 3, .dir = "/d" };
	struct arglist args = { 0 };
	machine_qemu_args(&m, &args);
	assert_string_equal(joined(&args), "/q|-M|microvm,accel=tcg,acpi=off,rtc=on,memory-backend=mem|-nodefaults|"
		"-no-user-config|-display|none|-serial|stdio|-no-reboot|-kernel|/k|"
		"-object|memory-backend-memfd,id=mem,size=64M,share=on|-m|64|"
		"-chardev|socket,id=vsock,path=vm.sock|-device|vhost-user-vsock-device,chardev=vsock|-initrd|/i|"
		"-append|console=ttyS0 reboot=t panic=-1 noapictimer no_timer_check quiet");
}

static void test_kvm_vhost(void **state)
{
	(void)state;
	struct machine m = { .qemu = "/q", .kernel = "/k", .kvm = true, .vhost = true, .verbose = true, .cid = 77,
		.memory_mib = 256, .cpus = 4, .dir = "/d", .kernel_args = { "a=1", "b=2" } };
	struct arglist args = { 0 };
	machine_qemu_args(&m, &args);
	assert_string_equal(joined(&args), "/q|-M|microvm,accel=kvm,acpi=off,rtc=on,memory-backend=mem|-cpu|host|"
		"-nodefaults|-no-user-config|-display|none|-serial|stdio|-no-reboot|-kernel|/k|"
		"-object|memory-backend-memfd,id=mem,size=256M,share=on|-m|256|-smp|4|"
		"-device|vhost-vsock-device,guest-cid=77|-append|console=ttyS0 reboot=t panic=-1 a=1 b=2");
}

static void test_command_line(void **state)
{
	(void)state;
	struct machine m = { .qemu = "/q", .kernel = "/k", .dir = "/d", .tsc_khz = 2600000, .kernel_args = { "", "b=2" } };
	struct arglist args = { 0 };
	machine_qemu_args(&m, &args);
	assert_string_equal(args.v[args.n - 1],
		"console=ttyS0 reboot=t panic=-1 noapictimer no_timer_check tsc_early_khz=2600000 quiet b=2");
	arglist_finish(&args);
}

static void test_ticks(void **state)
{
	(void)state;
	struct ticks a = { 5000, 1000000 }, b = { 5000 + 26000000, 1000000 + 10000000 };
	assert_int_equal(ticks_khz(a, b), 2600000);
	assert_int_equal(ticks_khz(b, a), 0);
	assert_int_equal(ticks_khz(a, (struct ticks){ 9000, 1001000 }), 0);
	assert_int_equal(ticks_khz((struct ticks){ 0 }, b), 0);
	a = ticks_read();
	usleep(20000);
	b = ticks_read();
	if (a.count)             /* any processor of today */
		assert_in_range(ticks_khz(a, b), 100000, 20000000);
}

static void test_device(void **state)
{
	(void)state;
	struct machine m = { .cid = 9, .dir = "/d" };
	struct arglist args = { 0 };
	machine_device_args(&m, "/v", &args);
	assert_string_equal(joined(&args), "/v|--guest-cid|9|--socket|/d/vm.sock|--uds-path|/d/vm.vsock");
}

static void test_listening(void **state)
{
	(void)state;
	char dir[] = "/tmp/hawser-test.XXXXXX", longer[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/vm.sock", dir);
	snprintf(longer, sizeof longer, "%s/vm.sock2", dir);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_false(machine_listening(address.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_false(machine_listening(address.sun_path));
	assert_int_equal(listen(fd, 1), 0);
	assert_true(machine_listening(address.sun_path));
	assert_false(machine_listening(longer));
	close(fd);
	unlink(address.sun_path);
	rmdir(dir);
}

static void test_remembered(void **state)
{
	(void)state;
	char dir[] = "/tmp/hawser-test.XXXXXX", file[64], key[512], other[512];
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/accel", dir);
	assert_true(accel_key("/bin/sh", key, sizeof key));
	assert_true(accel_key("/proc/self/exe", other, sizeof other));

	assert_int_equal(accel_recall(file, key), ACCEL_AUTO);
	assert_int_equal(accel_remember(file, key, ACCEL_TCG), 0);
	assert_int_equal(accel_recall(file, key), ACCEL_TCG);
	assert_int_equal(accel_recall(file, other), ACCEL_AUTO);
	assert_int_equal(accel_remember(file, key, ACCEL_KVM), 0);
	assert_int_equal(accel_recall(file, key), ACCEL_KVM);

	FILE *f = fopen(file, "w");              /* somebody wrote rubbish */
	fprintf(f, "%s perhaps\n", key);
	fclose(f);
	assert_int_equal(accel_recall(file, key), ACCEL_AUTO);
	unlink(file);
	rmdir(dir);
	assert_true(accel_remember(file, key, ACCEL_KVM) < 0);
}

/* Before the words of the configuration, which can say otherwise: the kernel takes the last. */
static void test_secrets(void **state)
{
	(void)state;
	struct machine m = { .qemu = "qemu", .kernel = "vmlinux", .dir = "/run/x", .cid = 3, .secrets = true,
		.kernel_args = { "init_on_free=0", NULL } };
	struct arglist args = { 0 };
	machine_qemu_args(&m, &args);
	assert_non_null(strstr(joined(&args), " init_on_free=1 init_on_free=0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcg),
		cmocka_unit_test(test_kvm_vhost),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_ticks),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_listening),
		cmocka_unit_test(test_remembered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
