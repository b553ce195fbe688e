/* SPDX-License-Identifier: MIT */
/*
 * The C library's questions to name servers, for programs in a machine that has no network: nobody knows any name.
 *
 * BusyBox's hostname and mount would otherwise bring a whole resolver along, 17 KiB that can never find a server.
 * Linked before the library, these take its place.
 */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict result)
{
	(void)node;
	(void)service;
	(void)hints;
	*result = NULL;
	return EAI_NONAME;
}

int getnameinfo(const struct sockaddr *restrict address, socklen_t length, char *restrict node, socklen_t node_size,
		char *restrict service, socklen_t service_size, int flags)
{
	(void)address;
	(void)length;
	(void)node;
	(void)node_size;
	(void)service;
	(void)service_size;
	(void)flags;
	return EAI_NONAME;
}

struct hostent *gethostbyname(const char *name)
{
	(void)name;
	return NULL;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
	(void)name;
	(void)protocol;
	return NULL;
}
