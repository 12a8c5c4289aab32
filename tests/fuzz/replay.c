/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds files to a fuzzer's entry point, without a fuzzing engine: how `make check` replays each corpus with any compiler.
 * Each input is copied into an allocation of exactly its size, so that a sanitizer sees a read past its end.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	long size;
	int r = -1;

	if (!f)
		return -1;
	if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
		data = malloc(size ? (size_t)size : 1);
		if (data && fread(data, 1, (size_t)size, f) == (size_t)size)
			r = LLVMFuzzerTestOneInput(data, (size_t)size);
	}
	free(data);
	fclose(f);
	return r;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) != 0) {
			fprintf(stderr, "replay: %s could not be read or was refused\n", argv[i]);
			return 1;
		}
	}
	printf("replayed %d inputs\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
