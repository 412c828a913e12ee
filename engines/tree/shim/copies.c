// SPDX-License-Identifier: GPL-2.0-only
/* User memory, and libc's part of the kernel's C library. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "shim.h"

#define EFAULT 14
#define ENOMEM 12
/* Room for 2^32 entries. Only addresses: nothing is there, and nothing but the copies below looks. */
#define USER_SPACE (1UL << 39)
#define SMALL (1UL << 20)
#define CALLER __builtin_return_address(0)

static unsigned long base;
static const char *user;
static size_t user_size;

int ms_user_open(void)
{
	void *p = mmap(NULL, USER_SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	base = p == MAP_FAILED ? 0 : (unsigned long)p;
	return base ? 0 : -1;
}

void ms_user(const void *bytes, size_t n)
{
	user = bytes;
	user_size = n;
}

unsigned long ms_user_base(void)
{
	return base;
}

/* How many bytes could not be copied: all or none. */
static unsigned long copy(void *to, unsigned long from, unsigned long n, void *caller)
{
	unsigned long at = from - base, given;

	ms_service();
	ms_may_sleep("copy_from_user", caller);
	ms_event(MEMSLOT_EV_COPY, 0, "")->a = n;
	if (ms_fails(MEMSLOT_FAULT_COPY) || from < base || at > USER_SPACE || n > USER_SPACE - at) {
		if (n <= SMALL)
			memset(to, 0, n);
		return n;
	}
	given = at >= user_size ? 0 : user_size - at < n ? user_size - at : n;
	memcpy(to, user + at, given);
	/* Millions of missing entries are zeros that a mapping of its own has already. */
	if (n - given <= SMALL || !ms_fresh(to, n))
		memset((char *)to + given, 0, n - given);
	return 0;
}

unsigned long k__copy_from_user(void *to, const void *from, unsigned long n)
{
	return copy(to, (unsigned long)from, n, CALLER);
}

unsigned long k__copy_to_user(void *to, const void *from, unsigned long n)
{
	ms_service();
	ms_may_sleep("copy_to_user", CALLER);
	return 0;	/* nobody reads it back */
}

static void *duplicate(const void *from, size_t n, const struct ms_allocator *by, void *caller)
{
	void *p = ms_get(n, K(ms_gfp).sleeps, by, caller);

	if (!p)
		return (void *)-(long)ENOMEM;
	if (copy(p, (unsigned long)from, n, caller)) {
		k_kvfree(p);
		return (void *)-(long)EFAULT;
	}
	return p;
}


void *k_memdup_user(const void *from, size_t n) { return duplicate(from, n, &ms_kmalloc, CALLER); }
void *k_vmemdup_user(const void *from, size_t n) { return duplicate(from, n, &ms_kvmalloc, CALLER); }

void *k_memcpy(void *to, const void *from, size_t n) { return memcpy(to, from, n); }
void *k_memmove(void *to, const void *from, size_t n) { return memmove(to, from, n); }
void *k_memset(void *p, int c, size_t n) { return memset(p, c, n); }
int k_memcmp(const void *a, const void *b, size_t n) { return memcmp(a, b, n); }
size_t k_strlen(const char *s) { return strlen(s); }
int k__printk(const char *format, ...) { return 0; }

int k_snprintf(char *to, size_t n, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = vsnprintf(to, n, format, args);
	va_end(args);
	return r;
}

void *k_memchr_inv(const void *p, int c, size_t n)
{
	const unsigned char *byte = p;
	size_t i;

	for (i = 0; i < n; i++)
		if (byte[i] != (unsigned char)c)
			return (void *)(byte + i);
	return NULL;
}

void k_sort(void *p, size_t n, size_t size, int (*compare)(const void *, const void *), void *swap)
{
	qsort(p, n, size, compare);
}
