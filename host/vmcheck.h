/* SPDX-License-Identifier: MIT */
/* vmcheck: what hawserd --check looks at. */
#ifndef HOST_VMCHECK_H
#define HOST_VMCHECK_H

/* Every machine's directory below vms, as far as it can be looked at without a guest. How many problems it logged. */
unsigned vmcheck_all(const char *vms);

#endif
