#include "count.h"

#include <stdlib.h>

static void check(const char *text, long lines, long blank, long comments)
{
	struct counts counts;
	FILE *file = tmpfile();

	if (!file)
		exit(2);
	fputs(text, file);
	rewind(file);
	if (count_file(file, &counts) || counts.lines != lines ||
	    counts.blank != blank || counts.comments != comments) {
		printf("FAILED: \"%s\"\n", text);
		exit(1);
	}
	fclose(file);
}

int main(void)
{
	check("", 0, 0, 0);
	check("a\n\n# b\n", 3, 1, 1);
	check("  # indented\n \t\nx", 3, 1, 1);
	printf("all tests passed\n");
	return 0;
}
