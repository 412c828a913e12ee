// SPDX-License-Identifier: GPL-2.0-only
/* Locks, SRCU, and everything that waits: nobody else runs, so what would wait waits for ever. */
#include <stdio.h>
#include <string.h>
#include "shim.h"

#define ROOM 256

struct lock {
	void *at;
	const char *name;
	int held;
	int spins;
};

static struct lock locks[ROOM], booted[ROOM];
static int count, booted_count;
static int spinning;		/* how many spinlocks are held */

void ms_locks_boot(void)
{
	memcpy(booted, locks, sizeof(locks));
	booted_count = count;
}

void ms_locks_begin(void)
{
	memcpy(locks, booted, booted_count * sizeof(locks[0]));
	count = booted_count;
	spinning = 0;
}

static struct lock *lock_at(void *at, int spins)
{
	int i;

	for (i = 0; i < count; i++)
		if (locks[i].at == at)
			return &locks[i];
	if (count == ROOM)
		count = ROOM - 1;	/* forgets one; no memslot code has so many */
	locks[count] = (struct lock){ at, "a lock", 0, spins };
	return &locks[count++];
}

static int which(const struct lock *lock)
{
	return ms.vm ? K(ms_which_lock)(ms.vm, lock->at) : 0;
}

static const char *named(const struct lock *lock)
{
	switch (which(lock)) {
	case MEMSLOT_SLOTS_LOCK:
		return "slots_lock";
	case MEMSLOT_SLOTS_ARCH_LOCK:
		return "slots_arch_lock";
	}
	return lock->name;
}

static void initialised(void *at, const char *name, int spins)
{
	struct lock *lock = lock_at(at, spins);
	const char *member = name ? strstr(name, "->") : NULL;

	lock->name = member ? member + 2 : name ? name : "a lock";
	lock->held = 0;
}

void ms_rule(const char *which, const void *pc)
{
	ms_event(MEMSLOT_EV_RULE, 0, which)->pc = ms_offset((unsigned long)pc);
}

void ms_may_sleep(const char *what, const void *pc)
{
	char which[64];

	if (!spinning)
		return;
	snprintf(which, sizeof(which), "%s under a spinlock", what);
	ms_rule(which, pc);
}

static void acquire(void *at, int spins, void *pc)
{
	struct lock *lock = lock_at(at, spins);

	ms_service_closely();
	if (lock->held) {
		ms_event(MEMSLOT_EV_DEADLOCK, 0, named(lock))->pc = ms_offset((unsigned long)pc);
		ms_leave(MEMSLOT_DEADLOCK);
	}
	lock->held = 1;
	spinning += lock->spins;
	ms_event(MEMSLOT_EV_LOCK, 0, named(lock));
}

/* Waits for it, if need be: that must not be under a spinlock, nor the other way round than others do it. */
static void waits_for(void *at, void *pc)
{
	ms_may_sleep(named(lock_at(at, 0)), pc);
	if (which(lock_at(at, 0)) == MEMSLOT_SLOTS_LOCK && ms_locks_held(0) & MEMSLOT_SLOTS_ARCH_LOCK)
		ms_rule("slots_lock taken under slots_arch_lock", pc);
	acquire(at, 0, pc);
}

int ms_holds_lock(const void *at)
{
	return lock_at((void *)at, 1)->held;
}

static void release(void *at, int spins, void *pc)
{
	struct lock *lock = lock_at(at, spins);

	ms_service_closely();
	if (ms.vm && at == K(ms_notifier_lock)(ms.vm))
		ms_duty_to_notifiers(0);
	if (!lock->held) {
		ms_event(MEMSLOT_EV_UNLOCK_UNHELD, 0, named(lock))->pc = ms_offset((unsigned long)pc);
		return;
	}
	spinning -= lock->spins;
	lock->held = 0;
	ms_event(MEMSLOT_EV_UNLOCK, 0, named(lock));
}

msu32 ms_locks_held(int note)
{
	msu32 held = 0;
	int i;

	for (i = 0; i < count; i++) {
		if (!locks[i].held)
			continue;
		held |= which(&locks[i]) ?: MEMSLOT_OTHER_LOCK;
		if (note)
			ms_event(MEMSLOT_EV_HELD, 0, named(&locks[i]));
	}
	if (ms.vm && K(ms_readers)(ms.vm)) {
		held |= MEMSLOT_SRCU_READER;
		if (note)
			ms_event(MEMSLOT_EV_HELD, 0, "srcu_read_lock");
	}
	return held;
}

#define HERE __builtin_return_address(0)

void k___mutex_init(void *l, const char *name, void *key) { initialised(l, name, 0); }
void k_mutex_init_generic(void *l) { initialised(l, NULL, 0); }
void k___raw_spin_lock_init(void *l, const char *name, void *key, short inner) { initialised(l, name, 1); }
void k___rwlock_init(void *l, const char *name, void *key) { initialised(l, name, 1); }
void k_mutex_lock(void *l) { waits_for(l, HERE); }
int k_mutex_lock_killable(void *l) { waits_for(l, HERE); return 0; }
int k_mutex_lock_interruptible(void *l) { waits_for(l, HERE); return 0; }
void k_mutex_unlock(void *l) { release(l, 0, HERE); }
int k_mutex_is_locked(void *l) { return lock_at(l, 0)->held; }

int k_mutex_trylock(void *l)
{
	if (lock_at(l, 0)->held)
		return 0;
	acquire(l, 0, HERE);
	return 1;
}

#define SPINS(how)							\
	void k__raw_spin_lock##how(void *l) { acquire(l, 1, HERE); }	\
	void k__raw_spin_unlock##how(void *l) { release(l, 1, HERE); }	\
	void k__raw_write_lock##how(void *l) { acquire(l, 1, HERE); }	\
	void k__raw_write_unlock##how(void *l) { release(l, 1, HERE); }	\
	void k__raw_read_lock##how(void *l) { acquire(l, 1, HERE); }	\
	void k__raw_read_unlock##how(void *l) { release(l, 1, HERE); }
SPINS()
SPINS(_irq)
SPINS(_bh)
unsigned long k__raw_spin_lock_irqsave(void *l) { acquire(l, 1, HERE); return 0; }
void k__raw_spin_unlock_irqrestore(void *l, unsigned long flags) { release(l, 1, HERE); }

static void synchronized(void *srcu, const char *name, void *pc)
{
	int of_memslots = ms.vm && K(ms_of_memslots)(ms.vm, srcu);

	ms_service_closely();
	ms_may_sleep("synchronize_srcu", pc);
	/* A vCPU may take the lock as a reader, and is waited for here. */
	if (of_memslots && ms_locks_held(0) & MEMSLOT_SLOTS_ARCH_LOCK)
		ms_rule("slots_arch_lock held over srcu's wait", pc);
	if (K(ms_readers_of)(srcu)) {
		ms_event(MEMSLOT_EV_DEADLOCK, 0, name);
		ms_leave(MEMSLOT_DEADLOCK);
	}
	if (of_memslots)
		ms_synced();
	ms_event(MEMSLOT_EV_SYNC, 0, name);
}

void k_synchronize_srcu(void *srcu) { synchronized(srcu, "synchronize_srcu", HERE); }
void k_synchronize_srcu_expedited(void *srcu) { synchronized(srcu, "synchronize_srcu_expedited", HERE); }
static void sleeps(const char *what, void *pc)
{
	ms_service_closely();
	ms_may_sleep(what, pc);
}

/* Waits for others than the readers of memslots, who are under SRCU. */
void k_synchronize_rcu(void) { sleeps("synchronize_rcu", HERE); }
void k_synchronize_rcu_expedited(void) { sleeps("synchronize_rcu", HERE); }
int k_init_srcu_struct(void *srcu) { return 0; }
void k_cleanup_srcu_struct(void *srcu) { }
int k_rcuwait_wake_up(void *wait) { return 0; }
int k___cond_resched(void) { sleeps("cond_resched", HERE); return 0; }
void k_ms_might_sleep(void) { ms_may_sleep("might_sleep", HERE); }

void k_finish_rcuwait(void **wait)
{
	*wait = NULL;
	if (ms.vm && wait == K(ms_notifier_wait)(ms.vm))
		ms_duty_to_notifiers(1);
}

void k_schedule(void)
{
	sleeps("schedule", HERE);
	if (++ms.schedules > 1000) {
		ms_event(MEMSLOT_EV_DEADLOCK, 0, "schedule() for ever");
		ms_leave(MEMSLOT_DEADLOCK);
	}
}
