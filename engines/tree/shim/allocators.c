// SPDX-License-Identifier: GPL-2.0-only
/* The names under which kernels of several versions ask for memory. */
#include "shim.h"

enum { KMALLOC_POOL = 1, VMALLOC_POOL = 2, KVMALLOC_POOL = 4, CACHES = 8 };

/* Above the limit there is a WARN, unless __GFP_NOWARN. */
const struct ms_allocator ms_kmalloc = { "kmalloc", KMALLOC_POOL, 4UL << 20 };
const struct ms_allocator ms_kvmalloc = { "kvmalloc", KVMALLOC_POOL, 0x7fffffffUL };
static const struct ms_allocator vmalloc = { "vmalloc", VMALLOC_POOL, 1UL << 40, 1 };
static const struct ms_allocator caches = { "kmem_cache_alloc", CACHES, 4UL << 20 };

#define CALLER __builtin_return_address(0)
#define KMALLOC(n, gfp) ms_get(n, gfp, &ms_kmalloc, CALLER)
#define KVMALLOC(n, gfp) ms_get(n, gfp, &ms_kvmalloc, CALLER)
#define VMALLOC(n, gfp) ms_get(n, gfp, &vmalloc, CALLER)

typedef unsigned int gfp_t;

void *k___kmalloc(size_t n, gfp_t gfp) { return KMALLOC(n, gfp); }
void *k___kmalloc_noprof(size_t n, gfp_t gfp) { return KMALLOC(n, gfp); }
void *k___kmalloc_node(size_t n, gfp_t gfp, int node) { return KMALLOC(n, gfp); }
void *k___kmalloc_node_noprof(size_t n, gfp_t gfp, int node) { return KMALLOC(n, gfp); }
void *k_kmalloc_large(size_t n, gfp_t gfp) { return KMALLOC(n, gfp); }
void *k___kmalloc_large_noprof(size_t n, gfp_t gfp) { return KMALLOC(n, gfp); }
void *k_kmalloc_trace(void *cache, gfp_t gfp, size_t n) { return KMALLOC(n, gfp); }
void *k___kmalloc_cache_noprof(void *cache, gfp_t gfp, size_t n) { return KMALLOC(n, gfp); }
void *k_kvmalloc_node(size_t n, gfp_t gfp, int node) { return KVMALLOC(n, gfp); }
void *k___kvmalloc_node_noprof(size_t n, gfp_t gfp, int node) { return KVMALLOC(n, gfp); }
void *k_kvmalloc_node_noprof(size_t n, gfp_t gfp, int node) { return KVMALLOC(n, gfp); }
void *k___vmalloc(size_t n, gfp_t gfp) { return VMALLOC(n, gfp); }
void *k___vmalloc_noprof(size_t n, gfp_t gfp) { return VMALLOC(n, gfp); }
void *k_vmalloc(size_t n) { return VMALLOC(n, K(ms_gfp).sleeps); }
void *k_vzalloc(size_t n) { return VMALLOC(n, K(ms_gfp).sleeps | K(ms_gfp).zero); }

static void *zeroed(size_t n, size_t size, gfp_t gfp, void *caller)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all))
		return NULL;
	return ms_get(all, gfp | K(ms_gfp).zero, &vmalloc, caller);
}

void *k___vcalloc(size_t n, size_t size, gfp_t gfp) { return zeroed(n, size, gfp, CALLER); }
void *k___vcalloc_noprof(size_t n, size_t size, gfp_t gfp) { return zeroed(n, size, gfp, CALLER); }
void *k_vcalloc(size_t n, size_t size) { return zeroed(n, size, K(ms_gfp).sleeps, CALLER); }
void *k_vcalloc_noprof(size_t n, size_t size) { return zeroed(n, size, K(ms_gfp).sleeps, CALLER); }

/* What kvmalloc() gives may be of either kind: kvfree() alone takes it back. kfree() knows a cache's objects. */
static const struct ms_release kfree = { "kfree", KMALLOC_POOL | CACHES, 0 };
static const struct ms_release kvfree = { "kvfree", KMALLOC_POOL | VMALLOC_POOL | KVMALLOC_POOL | CACHES, 0 };
static const struct ms_release vfree = { "vfree", VMALLOC_POOL, 1 };
static const struct ms_release cache_free = { "kmem_cache_free", CACHES, 0 };

void k_kfree(const void *p) { ms_put(p, &kfree, NULL, CALLER); }
void k_kfree_sensitive(const void *p) { ms_put(p, &kfree, NULL, CALLER); }
void k_kvfree(const void *p) { ms_put(p, &kvfree, NULL, CALLER); }
void k_vfree(const void *p) { ms_put(p, &vfree, NULL, CALLER); }
/* The grace period is over at once: whoever relies on it being later is found by ms_damage(). */
void k_kvfree_call_rcu(void *head, void *p) { ms_put(p, &kvfree, NULL, CALLER); }

/* Caches: of each its objects' size is known. Constructors are not called. */
static void *cache(msu32 size, void *caller)
{
	msu32 *made = ms_get(sizeof(size), K(ms_gfp).sleeps, &ms_kmalloc, caller);

	if (made)
		*made = size;
	return made;
}

void *k_kmem_cache_create(const char *name, msu32 size, msu32 align, msu32 flags, void *constructor)
{
	return cache(size, CALLER);
}

void *k_kmem_cache_create_usercopy(const char *name, msu32 size, msu32 align, msu32 flags, msu32 from, msu32 n,
				   void *constructor)
{
	return cache(size, CALLER);
}

void *k___kmem_cache_create_args(const char *name, msu32 size, void *args, msu32 flags) { return cache(size, CALLER); }
void k_kmem_cache_destroy(void *cache) { ms_put(cache, &kfree, NULL, CALLER); }

static void *of_cache(const msu32 *cache, gfp_t gfp, void *caller)
{
	void *p;

	if (!cache)
		ms_unresolved("kmem_cache_alloc before kvm_init");
	p = ms_get(*cache, gfp, &caches, caller);
	if (p)
		K(ms_block_at)(p)->cache = cache;
	return p;
}

void *k_kmem_cache_alloc(void *cache, gfp_t gfp) { return of_cache(cache, gfp, CALLER); }
void *k_kmem_cache_alloc_noprof(void *cache, gfp_t gfp) { return of_cache(cache, gfp, CALLER); }
void k_kmem_cache_free(void *cache, void *p) { ms_put(p, &cache_free, cache, CALLER); }
