/* SPDX-License-Identifier: MIT */
/* boot_ports: where, beside hawser's ports, the host of a counted boot listens (boot_host.c). */
#ifndef BENCH_BOOT_PORTS_H
#define BENCH_BOOT_PORTS_H

#define PORT_PLAIN 700           /* the configuration as plain bytes, then the secret's 32 */
#define PORT_LANDED 701          /* the program that was handed over to tells its first instruction's time */

#endif
