/* SPDX-License-Identifier: MIT */
/*
 * vmtree: what lies in files/ and credentials/ of a machine's directory: names, and what the kernel says of them;
 * never a byte of their contents.
 *
 * Every step is an openat() below a directory's descriptor that follows no symbolic link, so nothing outside can be
 * reached, whatever is swapped meanwhile. A tree is compared with a later scan of the same to find out what changed.
 */
#ifndef HOST_VMTREE_H
#define HOST_VMTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "problem.h"

#define VMTREE_FILE_MAX ((uint64_t)1 << 30)        /* bytes of one file below files/ */
#define VMTREE_ENCRYPTED_MAX (2 << 20)             /* of one that is encrypted, and in base64 at that */

struct vmtree_node {
	char *path;              /* below the tree's directory; of a credential, its name */
	char *target;            /* of a symbolic link; else NULL */
	struct stat stat;
};

struct vmtree {
	char *label;             /* for messages: "DIR/files" */
	int fd;                  /* the directory that the paths are below; -1: there is none, and no node */
	struct stat stat;        /* its own */
	size_t n, size;
	struct vmtree_node *nodes; /* sorted; a directory comes before what is in it */
	size_t plan;             /* bytes of the records that announce the nodes */
	uint64_t bytes;          /* of all regular files */
};

/* All zero but fd is an empty tree. */
#define VMTREE_EMPTY (struct vmtree){ .fd = -1 }

/*
 * Scan DIR/files and DIR/credentials and check every name, kind and size. The records may take at most `room` bytes,
 * which also bounds the memory. 0, or -1 with the problem set; the tree is to be finished in both cases.
 */
typedef int vmtree_scanner(struct vmtree *tree, int dirfd, const char *dir, size_t room, struct problem *problem);
vmtree_scanner vmtree_scan_files, vmtree_scan_credentials;
/* DIR/credentials.encrypted: regular files with the names of credentials, larger than what is in them. */
vmtree_scanner vmtree_scan_encrypted;
void vmtree_finish(struct vmtree *tree);

/* Bytes of the record that announces a node, header included. */
size_t vmtree_record_size(const struct vmtree_node *node, bool credential);
/* Opens a regular file of the tree, as long as it is still the one that was scanned. -1 with the problem set. */
int vmtree_open(const struct vmtree *tree, const struct vmtree_node *node, struct problem *problem);
/* Whether an open file is still as it was scanned. */
int vmtree_check(const struct vmtree *tree, const struct vmtree_node *node, int fd, struct problem *problem);
/* Whether a later scan found the same. -1 with the problem set, which names the first difference. */
int vmtree_compare(const struct vmtree *tree, const struct vmtree *later, struct problem *problem);
/* When the youngest node was changed last: CLOCK_REALTIME in ns; 0: there is none. */
uint64_t vmtree_changed_ns(const struct vmtree *tree);
/* "DIR/files/PATH: ..." */
int vmtree_problem(const struct vmtree *tree, const char *path, struct problem *problem, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
