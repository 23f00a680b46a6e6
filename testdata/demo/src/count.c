#include "count.h"

#include <ctype.h>
#include <string.h>

int count_file(FILE *file, struct counts *counts)
{
	char line[4096];

	memset(counts, 0, sizeof(*counts));
	while (fgets(line, sizeof(line), file)) {
		const char *text = line;

		while (isspace((unsigned char)*text))
			text++;
		counts->lines++;
		if (*text == '\0')
			counts->blank++;
		else if (*text == '#')
			counts->comments++;
	}
	return ferror(file) ? -1 : 0;
}
