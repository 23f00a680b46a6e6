#include "count.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct counts counts;
	int i;

	printf("countlines %s, user %d\n", VERSION, (int)getuid());
	for (i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "r");

		if (!file || count_file(file, &counts)) {
			perror(argv[i]);
			return 1;
		}
		printf("%s: %ld lines, %ld blank, %ld comments\n",
		       argv[i], counts.lines, counts.blank, counts.comments);
		fclose(file);
	}
	return 0;
}
