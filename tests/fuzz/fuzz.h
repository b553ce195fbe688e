/* SPDX-License-Identifier: MIT */
/*
 * fuzz: what the targets have in common. Each fuzz_NAME.c is a libFuzzer target for one reader of outside bytes, built
 * from the real sources. A target that reads a session takes one byte, how the rest is cut into writes, and then
 * frames; mutate.c keeps most of those whole.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../vsock/wire.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run: what must hold does not. */
#define FUZZ_NEED(what) ((what) ? (void)0 : fuzz_broken(#what, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *what, const char *file, int line);

/* A directory of this process's own, which is the current one; removed when the process ends well. */
const char *fuzz_directory(void);
/* A pair of connected sockets that do not block. */
void fuzz_pair(int type, int fds[static 2]);
/* How many bytes of the input the next write takes: a frame if mode is 0 and there is a whole one, else 16 * mode. */
size_t fuzz_piece(uint8_t mode, const uint8_t *data, size_t size);

/* A frame of any session: decodes it, encodes it again, and compares. Its error, or NULL. */
const char *fuzz_frame(const struct wire_frame *frame);
/* Bytes that our own code sent: whole frames of the protocol, but for the last one. */
void fuzz_sent(const uint8_t *bytes, size_t len);

#endif
