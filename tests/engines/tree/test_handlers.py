# SPDX-License-Identifier: GPL-2.0-only
"""What is called for an ioctl is read off the code that deals with it, and nothing of its neighbours."""

import pytest

from engines.tree.handlers import called_for

CODE = """
static __always_inline int inner_of(int n)
{
	return deeper(n);
}
static inline int short_one(struct kvm *kvm)
{
	/* not_this() */
	return inner_of(3) + copy(kvm, "nor_this()");
}
static long vm_ioctl(struct kvm *kvm, unsigned int ioctl)
{
	int r;

	if (ioctl == KVM_EARLY)
		return early(kvm);
	if (ioctl == KVM_BLOCK) {
		r = block(kvm);
		switch (r) {
		case 1:
			block_one(kvm);
		}
	}
	between(kvm);
	switch (ioctl) {
	case KVM_BEFORE:
		before();
		break;
	case KVM_TWO:
	case KVM_LIST: {
		int n = first(kvm);
#define NOT_HERE(x) defined(x)
		switch (n) {
		case 0:
			second(n);
			break;
		default:
			third(n);
		}
		r = fourth(kvm);
		break;
	}
	case KVM_FALLS:
		falls(kvm);
		fallthrough;
	case KVM_SHORT:
		r = short_one(kvm);
		break;
	case KVM_LISTS_OF_LISTS:
		others();
	default:
		r = arch(kvm);
	}
	return behind(r);
}
"""


@pytest.mark.parametrize(
    ("ioctl", "names"),
    [
        ("KVM_EARLY", {"early"}),
        ("KVM_BLOCK", {"block", "switch", "block_one"}),
        ("KVM_BEFORE", {"before"}),
        ("KVM_TWO", {"first", "switch", "second", "third", "fourth"}),
        ("KVM_LIST", {"first", "switch", "second", "third", "fourth"}),
        ("KVM_FALLS", {"falls", "short_one", "inner_of", "deeper", "copy"}),
        ("KVM_SHORT", {"short_one", "inner_of", "deeper", "copy"}),
        ("KVM_LISTS_OF_LISTS", {"others"}),
        ("KVM_NOWHERE", set()),
    ],
)
def test_calls_are_of_the_ioctl_that_they_are_made_for(ioctl: str, names: set[str]) -> None:
    assert called_for(CODE, (ioctl,)) == names


def test_several_names_of_one_ioctl_count_together() -> None:
    assert called_for(CODE, ("KVM_EARLY", "KVM_BEFORE")) == {"early", "before"}
