/* SPDX-License-Identifier: MIT */
/* findfile: the files and programs that belong to this one, in a build directory and where it was installed. */
#ifndef HOST_FINDFILE_H
#define HOST_FINDFILE_H

/* All return a path on the heap, or NULL. */

/* NAME beside this program, or in PREFIX/share/hawser when this program is PREFIX/bin/hawser. */
char *findfile_data(const char *name);
/* The program NAME beside this one, in PREFIX/sbin, or in $PATH. */
char *findfile_sibling(const char *name);
/* The program NAME in $PATH. A name with a slash is looked up as it is. */
char *findfile_path(const char *name);
/* The program NAME in $PATH, or beside this one. */
char *findfile_program(const char *name);

#endif
