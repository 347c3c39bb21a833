"""A Debian 13 in a folder: Open MPI 5, PRRTE and PMIx 5, of which Debian 12 has no packages.

    root = Debian13()                       is made unless it is there: about a minute, from the mirror that apt is set to
    subprocess.run(root.inside(["prte", "--version"]))
    subprocess.run(root.beside([TRIREME, "run", …]))       a program of this Debian, whose tasks may be [chroot, root.path, …]

The folder is TRIREME_DEBIAN13, or `debian13` in the build folder, and is kept. What runs in it or beside it finds /tmp, /dev and the build
folder of this machine there as well, in a mount namespace of its own. Needs root. Unavailable says why there is none.
"""

import fcntl
import os
import shutil
import subprocess

from harness import BUILD

PACKAGES = "openmpi-bin,libopenmpi-dev,libpmix-dev,gcc,libc6-dev,pkgconf"
DEADLINE = 900

MOUNTS = """
for folder in proc sys dev tmp; do mount --rbind /$folder {path}/$folder; done
mkdir -p {path}{build}
mount --bind {build} {path}{build}
touch {path}/etc/hosts
mount --bind /etc/hosts {path}/etc/hosts
"""


class Unavailable(Exception):
    pass


def mirror():
    """Where this Debian comes from."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Component: main"]
    listed = subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.split()
    ours = [uri for uri in listed if "security" not in uri]
    if not ours:
        raise Unavailable("apt knows no mirror of Debian")
    return ours[0]


class Debian13:
    def __init__(self):
        self.path = os.environ.get("TRIREME_DEBIAN13", os.path.join(BUILD, "debian13"))
        if os.geteuid() != 0:
            raise Unavailable("a chroot needs root")
        with open(os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT, 0o644), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(self.path):
                self.make()

    def make(self):
        if shutil.which("mmdebstrap") is None:
            raise Unavailable("mmdebstrap is not installed")
        partial = self.path + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        words = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}",
                 "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Check-Valid-Until \"false\"",
                 *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")),
                 "trixie", partial, mirror()]
        made = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)
        if made.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise Unavailable("mmdebstrap: " + made.stderr[-1000:])
        os.rename(partial, self.path)

    @property
    def mounts(self):
        """A shell's commands, for a mount namespace where a chroot into the folder is to find what it needs."""
        return MOUNTS.format(path=self.path, build=BUILD)

    def beside(self, words):
        """The command line that runs `words` in such a namespace of its own."""
        return ["unshare", "--mount", "sh", "-ec", self.mounts + 'exec "$@"', "sh", *words]

    def inside(self, words):
        return self.beside(["chroot", self.path, *words])

    def compile(self, compiler, source, program, package=""):
        """With what pkg-config says about the package."""
        flags = f"$(pkg-config --cflags --libs {package})" if package else ""
        words = self.inside(["sh", "-ec", f"{compiler} -O2 -o {program} {source} {flags}"])
        subprocess.run(words, check=True, timeout=DEADLINE)
