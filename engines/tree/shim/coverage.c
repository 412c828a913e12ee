// SPDX-License-Identifier: GPL-2.0-only
/*
 * --coverage: the compiler has put a call at the head of every basic block. The build has written the addresses that
 * these calls return to, as offsets in the library, to the file `sites` beside it: 32-bit numbers in rising order.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "shim.h"

#ifdef MEMSLOT_COVERAGE
static msu32 *sites, *index_of, count, first, span;
static msu8 *counters;
static unsigned long *pcs;

void __sanitizer_cov_trace_pc(void)
{
	msu32 at = (msu32)ms_offset((unsigned long)__builtin_return_address(0)) - first;

	if (at < span && !(counters[index_of[at]] += 1))
		counters[index_of[at]] = 255;	/* libFuzzer's buckets end below: it must not look new */
}

static long read_sites(void)
{
	char path[4096];
	Dl_info here;
	FILE *file;
	long n = -1;

	if (!dladdr(&sites, &here))
		return -1;
	snprintf(path, sizeof(path) - 8, "%s", here.dli_fname);
	strcpy(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, "sites");
	file = fopen(path, "rb");
	if (!file)
		return -1;
	if (!fseek(file, 0, SEEK_END) && (n = ftell(file) / 4) > 0) {
		rewind(file);
		sites = malloc(n * 4);
		if (fread(sites, 4, n, file) != (size_t)n)
			n = -1;
	}
	fclose(file);
	return n;
}

void ms_coverage_open(void)
{
	long n = read_sites();
	msu32 i;
	Dl_info here;

	if (n <= 0 || !dladdr(&sites, &here))
		return;
	first = sites[0];
	counters = calloc(n + 1, 1);
	pcs = calloc(n, 2 * sizeof(*pcs));
	index_of = malloc((sites[n - 1] - first + 1) * sizeof(*index_of));
	for (i = 0; i <= sites[n - 1] - first; i++)
		index_of[i] = n;	/* of no site: a byte that nobody reads */
	for (i = 0; i < n; i++) {
		index_of[sites[i] - first] = i;
		pcs[2 * i] = (unsigned long)here.dli_fbase + sites[i];
	}
	count = n;
	span = sites[n - 1] - first + 1;
}

API msu8 *memslot_counters(msu32 *n)
{
	*n = count;
	return counters;
}

API const unsigned long *memslot_pcs(msu32 *n)
{
	*n = count;
	return pcs;
}
#else
API msu8 *memslot_counters(msu32 *n)
{
	*n = 0;
	return NULL;
}

API const unsigned long *memslot_pcs(msu32 *n)
{
	*n = 0;
	return NULL;
}
#endif
