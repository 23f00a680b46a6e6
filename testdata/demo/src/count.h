#ifndef COUNT_H
#define COUNT_H

#include <stdio.h>

struct counts {
	long lines;
	long blank;
	long comments;
};

/* Counts the lines of a file; -1 if it cannot be read. */
int count_file(FILE *file, struct counts *counts);

#endif
