/* SPDX-License-Identifier: MIT */
/* refusal: a guest's REFUSE, for people. */
#ifndef HOST_REFUSAL_H
#define HOST_REFUSAL_H

#include <stddef.h>

#include "../vsock/wire.h"

/* "CODE: what it says", in ASCII that no terminal obeys; cut where it does not fit. */
void refusal_text(char *to, size_t size, const struct wire_frame *frame);

#endif
