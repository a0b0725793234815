"""On which kind of file system a folder is, and whether SQLite's locks and shared memory work there."""

import ctypes
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = "afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs pvfs2 smb smb3 smbfs wekafs"
_FROM_A_HOST = "9p drvfs prl_fs vboxsf virtiofs vmhgfs"
_LOCAL_FUSE = (
    "bindfs encfs exfat ext4 fuse-overlayfs fuse2fs gocryptfs lxcfs mergerfs ntfs ntfs-3g unionfs zfs zfs-fuse"
)
_SHARED = frozenset([*_NETWORK.split(), *_FROM_A_HOST.split()])
_LOCAL = frozenset(f"fuse.{one}" for one in _LOCAL_FUSE.split())
_MAGIC = {
    0x00C36400: "ceph",
    0x01021997: "9p",
    0x0BD00BD0: "lustre",
    0x0BD00BD1: "lustre",
    0x19830326: "beegfs",
    0x47504653: "gpfs",
    0x517B: "smbfs",
    0x5346414F: "afs",
    0x564C: "ncpfs",
    0x65735546: "fuse",
    0x6969: "nfs",
    0x6A656A63: "virtiofs",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0xFE534D42: "smb3",
    0xFF534D42: "cifs",
}
"""``f_type`` of statfs(2), for where /proc is not mounted."""
_STATFS_BYTES = 256  # more than any system's struct statfs


def is_shared(kind: str) -> bool:
    """Whether other machines, or a host, may change the files behind the kernel's back.

    Of FUSE nobody can tell what is behind it: s3fs, sshfs, gcsfuse, rclone and whatever comes next are as many as the
    local ones are few, so only these are taken for local. Not "fuseblk": that is a block device of this machine.
    """
    is_fuse = kind == "fuse" or kind.startswith("fuse.")
    return kind in _SHARED or (is_fuse and kind not in _LOCAL)


def file_system(folder: Path, *, mounts: Path = MOUNTS) -> str:
    """The type of the file system that holds ``folder``, as mount(8) calls it; "" if it can't be found out.

    By the mounts (proc_pid_mountinfo(5)), else by what statfs(2) says.
    """
    return _by_mounts(folder.resolve(), mounts) or _by_magic(folder)


def _by_mounts(folder: Path, mounts: Path) -> str:
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(left.split(" ")[4].encode("latin-1", "backslashreplace").decode("unicode_escape"))
        # A later line covers an earlier one at the same place.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def _by_magic(folder: Path) -> str:
    """``os.statvfs`` leaves ``f_type`` out."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        failed = ctypes.CDLL(None).statfs(str(folder).encode(errors="surrogateescape"), buffer)
    except (OSError, AttributeError):
        return ""
    return "" if failed else _MAGIC.get(ctypes.c_uint32.from_buffer(buffer).value, "")
