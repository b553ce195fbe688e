/* SPDX-License-Identifier: MIT */
/*
 * What answers hawserd when it dials a guest for a tool: the VMM's line, and then the guest's greeting. The boot's
 * token is nobody's before that line, and the tool is answered in any case.
 */
#include "../../host/json.h"
#include "hawserd.h"

static int listener;

/* A guest that is up, with its token. */
static void boot(void)
{
	struct wire_boot applied = { .type = WIRE_APPLIED, .applied_ns = 1 };
	uint8_t bytes[64];
	struct wire_out out = { .buf = bytes, .size = sizeof bytes };
	int fd = boot_begin();

	FUZZ_NEED(wire_boot_encode(&out, &applied) && send(fd, out.buf, out.len, MSG_NOSIGNAL) == (ssize_t)out.len);
	rounds(3);
	hang_up(fd);
	FUZZ_NEED(the_vm()->store.epoch.state == EPOCH_LIVE && the_vm()->store.epoch.has_token);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	hawserd_start(*argc, *argv);
	boot();
	snprintf(address.sun_path, sizeof address.sun_path, "%s", the_vm()->base);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_NEED(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 8) == 0);
	return 0;
}

/* One line of JSON, or none as long as hawserd may wait for more. */
static bool answer_check(const char *bytes, size_t len)
{
	struct problem problem = { 0 };
	struct json *json = len ? json_read(bytes, len - 1, "answer", &problem) : NULL;

	FUZZ_NEED(!len || (json && bytes[len - 1] == '\n'));
	json_free(json);
	return len > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char ask[] = "{\"op\":\"control\",\"vm\":\"vm\",\"verb\":\"ping\"}\n";
	static uint8_t heard[8192], answer[8192];
	size_t at = 1, len = 0, answered = 0, piece;
	int tool, vmm;

	if (size < 2 || size > 4096)
		return 0;
	tool = hawserd_connect("run/control.sock");
	FUZZ_NEED(send(tool, ask, sizeof ask - 1, MSG_NOSIGNAL) == sizeof ask - 1);
	rounds(3);
	vmm = accept(listener, NULL, NULL);
	FUZZ_NEED(vmm >= 0);
	len = hawserd_hear(vmm, heard, sizeof heard);
	FUZZ_NEED(len == 12 && !memcmp(heard, "CONNECT 612\n", 12));
	for (; at < size; at += piece) {
		piece = data[0] ? fuzz_piece(data[0], data + at, size - at) : size - at;
		if (send(vmm, data + at, piece, MSG_NOSIGNAL) < (ssize_t)piece)
			break;
		rounds(2);
		len += hawserd_hear(vmm, heard + len, sizeof heard - len);
	}
	if (memcmp(data + 1, "OK ", size < 4 ? size - 1 : 3))
		FUZZ_NEED(!memmem(heard, len, the_vm()->store.epoch.token, WIRE_TOKEN));
	fuzz_sent(heard + 12, len - 12);
	answered = hawserd_hear(tool, answer, sizeof answer);
	close(vmm);
	rounds(3);
	answered += hawserd_hear(tool, answer + answered, sizeof answer - answered);
	FUZZ_NEED(answer_check((const char *)answer, answered));
	hang_up(tool);
	return 0;
}
