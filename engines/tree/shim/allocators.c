// SPDX-License-Identifier: GPL-2.0-only
/* The names under which kernels of several versions ask for memory. */
#include "shim.h"

#define KMALLOC_MAX (4UL << 20)
#define VMALLOC_MAX (1UL << 40)
#define KVMALLOC_MAX 0x7fffffffUL	/* beyond it: a WARN, unless __GFP_NOWARN */
#define CALLER __builtin_return_address(0)
#define KMALLOC(n, gfp) ms_get(n, gfp, "kmalloc", KMALLOC_MAX, CALLER)
#define KVMALLOC(n, gfp) ms_get(n, gfp, "kvmalloc", KVMALLOC_MAX, CALLER)
#define VMALLOC(n, gfp) ms_get(n, gfp, "vmalloc", VMALLOC_MAX, CALLER)

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
void *k_vmalloc(size_t n) { return VMALLOC(n, 0); }
void *k_vzalloc(size_t n) { return VMALLOC(n, K(ms_gfp_zero)()); }

static void *zeroed(size_t n, size_t size, gfp_t gfp, void *caller)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all))
		return NULL;
	return ms_get(all, gfp | K(ms_gfp_zero)(), "vcalloc", VMALLOC_MAX, caller);
}

void *k___vcalloc(size_t n, size_t size, gfp_t gfp) { return zeroed(n, size, gfp, CALLER); }
void *k___vcalloc_noprof(size_t n, size_t size, gfp_t gfp) { return zeroed(n, size, gfp, CALLER); }
void *k_vcalloc(size_t n, size_t size) { return zeroed(n, size, 0, CALLER); }
void *k_vcalloc_noprof(size_t n, size_t size) { return zeroed(n, size, 0, CALLER); }

void k_kfree(const void *p) { ms_put(p, "kfree"); }
void k_kfree_sensitive(const void *p) { ms_put(p, "kfree"); }
void k_kvfree(const void *p) { ms_put(p, "kvfree"); }
void k_vfree(const void *p) { ms_put(p, "vfree"); }
/* The grace period is over at once: whoever relies on it being later is found by ms_damage(). */
void k_kvfree_call_rcu(void *head, void *p) { ms_put(p, "kfree_rcu"); }
