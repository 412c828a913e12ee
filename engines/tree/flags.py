# SPDX-License-Identifier: GPL-2.0-only
"""How the tree's files, and the shim's, are compiled."""

from dataclasses import dataclass
from pathlib import Path

from engines.tree.source import Source
from engines.tree.tools import Tools, run

SHIM = Path(__file__).parent / "shim"
_SETS = "include/linux/kvm_host.h"


@dataclass(frozen=True, slots=True)
class Options:
    """Which library is wanted."""

    asan: bool = False
    coverage: bool = False
    x86: bool = False
    """prepare and free_memslot are those of the tree's arch/x86/kvm/x86.c."""

    def names(self) -> list[str]:
        """Those that are on."""
        return [name for name in ("asan", "coverage", "x86") if getattr(self, name)]

    @property
    def suffix(self) -> str:
        """For the name of its folder."""
        return "".join(f"-{name}" for name in self.names())

    def defines(self) -> list[str]:
        """What the shim is told."""
        return [f"-DMEMSLOT_{name.upper()}" for name in self.names()]


def kernel_flags(source: Source, generated: Path, options: Options, tools: Tools) -> list[str]:
    """For files that see the tree's headers. The folders stand in the order of a kernel build, ours before them.

    To be run in the tree: then no name that the compiler writes down says where the tree is.
    """
    tree = source.path
    own = run([*tools.cc, "-print-file-name=include"], "the compiler's own headers").strip()
    folders = [
        SHIM / "include",
        SHIM,
        generated,
        tree / "arch/x86/include",
        tree / "include",
        tree / "arch/x86/include/uapi",
        generated / "uapi",
        tree / "include/uapi",
    ]
    flags = [
        *("-nostdinc", "-isystem", own, "-include", str(SHIM / "include/hidden.h")),
        *(f"-I{folder}" for folder in folders),
        *("-include", str(tree / "include/linux/compiler-version.h")),
        *("-include", str(tree / "include/linux/kconfig.h")),
        *("-include", str(tree / "include/linux/compiler_types.h")),
        *("-iquote", str(tree / "virt/kvm")),
        *("-D__KERNEL__", '-DKBUILD_MODNAME="kvm"', '-DKBUILD_BASENAME="kvm_main"', '-DKBUILD_MODFILE="kvm"'),
        *("-D__KBUILD_MODNAME=kvm", "-std=gnu11", "-fno-strict-aliasing", "-fno-common", "-fshort-wchar"),
        *("-funsigned-char", "-fno-strict-overflow", "-fPIC", "-ffreestanding", "-fno-stack-protector"),
        *("-fcf-protection=none", "-mno-red-zone", "-O2", "-gdwarf-4", "-ffunction-sections", "-fdata-sections"),
        *("-Werror=implicit-function-declaration", "-Werror=implicit-int", "-fdiagnostics-color=never"),
        f"-ffile-prefix-map={tree}=.",
        *options.defines(),
    ]
    if "last_used_slot" in (tree / _SETS).read_text():
        flags.append("-DMEMSLOT_LAST_USED")
    if options.x86:
        flags += [f"-I{tree}/arch/x86/kvm", f"-I{tree}/virt/kvm", "-iquote", f"{tree}/arch/x86/kvm"]
    return [*flags, "-Wno-everything"] if tools.clang else flags


def as_written(tools: Tools) -> list[str]:
    """Functions stay what they are in the source, as far as a compiler lets one say so.

    Who calls whom, and which line a basic block is, is read off the objects.
    """
    if tools.clang:
        return ["-fno-inline-functions"]
    return [
        *("-fno-inline-functions-called-once", "-fno-inline-small-functions", "-fno-inline-functions"),
        *("-fno-ipa-sra", "-fno-ipa-cp", "-fno-partial-inlining", "-fno-ipa-icf"),
        *("-fno-reorder-functions", "-fno-reorder-blocks-and-partition"),
    ]


def instrumented(options: Options) -> list[str]:
    """For the files that are under test."""
    flags = []
    if options.asan:
        flags += ["-fsanitize=address", "-fsanitize-recover=address", "--param", "asan-globals=0"]
        flags += ["-fsanitize=bounds,shift,bool", "-fsanitize-recover=all", "-fno-omit-frame-pointer"]
    if options.coverage:
        flags += ["-fsanitize-coverage=trace-pc"]
    return flags


def shim_flags(options: Options) -> list[str]:
    """For files on libc's side."""
    return [
        *("-std=gnu11", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-fno-builtin-memset", "-Wall", "-Wextra"),
        *("-Wno-unused-parameter", "-Wno-clobbered", "-Wno-missing-field-initializers", f"-I{SHIM}"),
        *options.defines(),
    ]


def environment(options: Options, tools: Tools) -> dict[str, str]:
    """Variables that a process needs which loads the library: ASan has to be there before it."""
    if not options.asan:
        return {}
    runtime = "libclang_rt.asan-x86_64.so" if tools.clang else "libasan.so"
    path = run([*tools.cc, f"-print-file-name={runtime}"], "ASan's runtime").strip()
    # A report is data: it ends nothing, is printed nowhere, and looks up no names, which would take long.
    words = ["halt_on_error=0", "symbolize=0", "log_path=/dev/null", "detect_leaks=0"]
    words += [f"handle_{signal}=0" for signal in ("segv", "sigbus", "sigill", "sigfpe")]
    return {"LD_PRELOAD": str(Path(path).resolve()), "ASAN_OPTIONS": ":".join(words)}
