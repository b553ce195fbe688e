/* SPDX-License-Identifier: MIT */
/*
 * hold FILE...: maps the files and looks at a byte of each page, says where they lie, and then runs on the processor
 * without a pause, so that whoever stops the machine finds this process's address space in use. It copies nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	static volatile char look;

	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY);
		struct stat st;
		char *p;

		if (fd < 0 || fstat(fd, &st))
			return 1;
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (p == MAP_FAILED)
			return 2;
		for (off_t at = 0; at < st.st_size; at += 4096)
			look += p[at] == 0;
		printf("held %s %p %lld\n", argv[i], (void *)p, (long long)st.st_size);
		close(fd);
	}
	fflush(stdout);
	for (;;)
		look++;
}
