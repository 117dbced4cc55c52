using Tmds.Linux;

namespace Dst.Interop;

#pragma warning disable CS1591 // the names are the C library's and the kernel's own, and so is their meaning

/// <summary>Constants of ordinary system calls: files, memory, processes, mounts, sockets.</summary>
public static class LinuxAbi
{
    // system calls whose number is the same on every architecture
    public const int __NR_pidfd_send_signal = 424;
    public const int __NR_io_uring_setup = 425;
    public const int __NR_io_uring_enter = 426;
    public const int __NR_io_uring_register = 427;
    public const int __NR_open_tree = 428;
    public const int __NR_move_mount = 429;
    public const int __NR_pidfd_open = 434;
    public const int __NR_close_range = 436;
    public const int __NR_pidfd_getfd = 438;
    public const int __NR_mount_setattr = 442;

    // statx: what is wanted and what came
    public const uint STATX_TYPE = 1;
    public const uint STATX_MODE = 2;
    public const uint STATX_NLINK = 4;
    public const uint STATX_UID = 8;
    public const uint STATX_GID = 0x10u;
    public const uint STATX_ATIME = 0x20u;
    public const uint STATX_MTIME = 0x40u;
    public const uint STATX_CTIME = 0x80u;
    public const uint STATX_INO = 0x100u;
    public const uint STATX_SIZE = 0x200u;
    public const uint STATX_BLOCKS = 0x400u;
    public const uint STATX_BASIC_STATS = 0x7ffu;
    public const uint STATX_BTIME = 0x800u;
    public const uint STATX_MNT_ID = 0x1000u;
    public const uint STATX_DIOALIGN = 0x2000u;
    public const uint STATX_MNT_ID_UNIQUE = 0x4000u;
    public const uint STATX_SUBVOL = 0x8000u;
    public const uint STATX_WRITE_ATOMIC = 0x10000u;
    public const uint STATX_DIO_READ_ALIGN = 0x20000u;

    // statx.stx_attributes
    public const ulong STATX_ATTR_COMPRESSED = 4;
    public const ulong STATX_ATTR_IMMUTABLE = 0x10ul;
    public const ulong STATX_ATTR_APPEND = 0x20ul;
    public const ulong STATX_ATTR_NODUMP = 0x40ul;
    public const ulong STATX_ATTR_ENCRYPTED = 0x800ul;
    public const ulong STATX_ATTR_AUTOMOUNT = 0x1000ul;
    public const ulong STATX_ATTR_MOUNT_ROOT = 0x2000ul;
    public const ulong STATX_ATTR_VERITY = 0x100000ul;
    public const ulong STATX_ATTR_DAX = 0x200000ul;
    public const ulong STATX_ATTR_WRITE_ATOMIC = 0x400000ul;

    // directory descriptors and flags of the …at calls
    public const int AT_FDCWD = -100;
    public const int AT_SYMLINK_NOFOLLOW = 0x100;
    public const int AT_REMOVEDIR = 0x200;
    public const int AT_SYMLINK_FOLLOW = 0x400;
    public const int AT_NO_AUTOMOUNT = 0x800;
    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_STATX_SYNC_AS_STAT = 0;
    public const int AT_STATX_FORCE_SYNC = 0x2000;
    public const int AT_STATX_DONT_SYNC = 0x4000;
    public const int AT_RECURSIVE = 0x8000;

    // renameat2
    public const uint RENAME_NOREPLACE = 1;
    public const uint RENAME_EXCHANGE = 2;

    // open: access and flags that are the same on x86-64 and arm64 (see LinuxAbi.O_DIRECT for the others)
    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_ACCMODE = 3;
    public const int O_CREAT = 0x40;
    public const int O_EXCL = 0x80;
    public const int O_NOCTTY = 0x100;
    public const int O_TRUNC = 0x200;
    public const int O_APPEND = 0x400;
    public const int O_NONBLOCK = 0x800;
    public const int O_DSYNC = 0x1000;
    public const int O_SYNC = 0x101000;
    public const int O_NOATIME = 0x40000;
    public const int O_CLOEXEC = 0x80000;
    public const int O_PATH = 0x200000;

    // fcntl
    public const int F_DUPFD = 0;
    public const int F_GETFD = 1;
    public const int F_SETFD = 2;
    public const int F_GETFL = 3;
    public const int F_SETFL = 4;
    public const int F_OFD_GETLK = 36;
    public const int F_OFD_SETLK = 37;
    public const int F_OFD_SETLKW = 38;
    public const int F_RDLCK = 0;
    public const int F_WRLCK = 1;
    public const int F_UNLCK = 2;
    public const int F_DUPFD_CLOEXEC = 1030;
    public const int F_SETPIPE_SZ = 1031;
    public const int F_GETPIPE_SZ = 1032;
    public const int F_ADD_SEALS = 1033;
    public const int FD_CLOEXEC = 1;

    // prctl
    public const int PR_SET_PDEATHSIG = 1;
    public const int PR_GET_DUMPABLE = 3;
    public const int PR_SET_DUMPABLE = 4;
    public const int PR_SET_NAME = 15;
    public const int PR_GET_NAME = 16;
    public const int PR_SET_TIMERSLACK = 29;
    public const int PR_SET_CHILD_SUBREAPER = 36;
    public const int PR_SET_NO_NEW_PRIVS = 38;
    public const int PR_SET_IO_FLUSHER = 57;
    public const int PR_GET_IO_FLUSHER = 58;

    // unshare, setns
    public const int CLONE_NEWNS = 0x20000;
    public const int CLONE_NEWNET = 0x40000000;
    public const int CLONE_NEWPID = 0x20000000;
    public const int CLONE_NEWUSER = 0x10000000;
    public const int CLONE_FS = 0x200;
    public const int CLONE_FILES = 0x400;

    // mount
    public const ulong MS_RDONLY = 1;
    public const ulong MS_NOSUID = 2;
    public const ulong MS_NODEV = 4;
    public const ulong MS_NOEXEC = 8;
    public const ulong MS_REMOUNT = 0x20ul;
    public const ulong MS_BIND = 0x1000ul;
    public const ulong MS_MOVE = 0x2000ul;
    public const ulong MS_REC = 0x4000ul;
    public const ulong MS_SILENT = 0x8000ul;
    public const ulong MS_UNBINDABLE = 0x20000ul;
    public const ulong MS_PRIVATE = 0x40000ul;
    public const ulong MS_SLAVE = 0x80000ul;
    public const ulong MS_SHARED = 0x100000ul;
    public const ulong MS_STRICTATIME = 0x1000000ul;
    public const ulong MS_NOATIME = 0x400ul;

    // capabilities
    public const int CAP_SYS_ADMIN = 21;
    public const int CAP_IPC_LOCK = 14;
    public const int CAP_SYS_RESOURCE = 24;
    public const int CAP_SYS_NICE = 23;
    public const int CAP_DAC_OVERRIDE = 1;
    public const int CAP_DAC_READ_SEARCH = 2;
    public const int CAP_NET_ADMIN = 12;
    public const int CAP_NET_BIND_SERVICE = 10;
    public const int CAP_KILL = 5;
    public const int CAP_MKNOD = 27;

    // capget
    public const uint _LINUX_CAPABILITY_VERSION_3 = 0x20080522u;

    // file systems, by statfs.f_type
    public const uint TMPFS_MAGIC = 0x1021994u;
    public const uint EXT4_SUPER_MAGIC = 0xef53u;
    public const uint XFS_SUPER_MAGIC = 0x58465342u;
    public const uint BTRFS_SUPER_MAGIC = 0x9123683eu;
    public const uint OVERLAYFS_SUPER_MAGIC = 0x794c7630u;
    public const uint NFS_SUPER_MAGIC = 0x6969u;
    public const uint PROC_SUPER_MAGIC = 0x9fa0u;
    public const uint SYSFS_MAGIC = 0x62656572u;
    public const uint RAMFS_MAGIC = 0x858458f6u;

    // type bits of a mode
    public const int S_IFMT = 0xf000;
    public const int S_IFSOCK = 0xc000;
    public const int S_IFLNK = 0xa000;
    public const int S_IFREG = 0x8000;
    public const int S_IFBLK = 0x6000;
    public const int S_IFDIR = 0x4000;
    public const int S_IFCHR = 0x2000;
    public const int S_IFIFO = 0x1000;

    // lseek
    public const int SEEK_SET = 0;
    public const int SEEK_CUR = 1;
    public const int SEEK_END = 2;
    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;

    // flock
    public const int LOCK_SH = 1;
    public const int LOCK_EX = 2;
    public const int LOCK_NB = 4;
    public const int LOCK_UN = 8;

    // mmap: protection
    public const int PROT_NONE = 0;
    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;

    // mmap: flags
    public const int MAP_SHARED = 1;
    public const int MAP_PRIVATE = 2;
    public const int MAP_FIXED = 0x10;
    public const int MAP_ANONYMOUS = 0x20;
    public const int MAP_NORESERVE = 0x4000;
    public const int MAP_LOCKED = 0x2000;
    public const int MAP_POPULATE = 0x8000;
    public const int MAP_HUGETLB = 0x40000;
    public const int MAP_FIXED_NOREPLACE = 0x100000;

    // madvise
    public const int MADV_NORMAL = 0;
    public const int MADV_DONTNEED = 4;
    public const int MADV_FREE = 8;
    public const int MADV_DONTFORK = 10;
    public const int MADV_DOFORK = 11;
    public const int MADV_HUGEPAGE = 14;
    public const int MADV_NOHUGEPAGE = 15;
    public const int MADV_DONTDUMP = 16;
    public const int MADV_DODUMP = 17;
    public const int MADV_POPULATE_READ = 22;
    public const int MADV_POPULATE_WRITE = 23;
    public const int MADV_COLD = 20;
    public const int MADV_PAGEOUT = 21;

    // mlockall, mlock2
    public const int MCL_CURRENT = 1;
    public const int MCL_FUTURE = 2;
    public const int MCL_ONFAULT = 4;
    public const int MLOCK_ONFAULT = 1;

    // umount2
    public const int MNT_FORCE = 1;
    public const int MNT_DETACH = 2;
    public const int MNT_EXPIRE = 4;
    public const int UMOUNT_NOFOLLOW = 8;

    // eventfd
    public const int EFD_CLOEXEC = 0x80000;
    public const int EFD_NONBLOCK = 0x800;
    public const int EFD_SEMAPHORE = 1;

    // pipe2, memfd_create, getrandom
    public const uint MFD_CLOEXEC = 1;
    public const uint MFD_ALLOW_SEALING = 2;
    public const uint GRND_NONBLOCK = 1;

    // poll
    public const short POLLIN = 1;
    public const short POLLPRI = 2;
    public const short POLLOUT = 4;
    public const short POLLERR = 8;
    public const short POLLHUP = 0x10;
    public const short POLLNVAL = 0x20;
    public const short POLLRDHUP = 0x2000;

    // resource limits
    public const int RLIMIT_CORE = 4;
    public const int RLIMIT_NOFILE = 7;
    public const int RLIMIT_MEMLOCK = 8;
    public const int RLIMIT_NPROC = 6;
    public const int RLIMIT_AS = 9;
    public const int RLIMIT_RTPRIO = 14;

    // rlimit: no limit
    public const ulong RLIM_INFINITY = ulong.MaxValue;

    // clocks
    public const int CLOCK_REALTIME = 0;
    public const int CLOCK_MONOTONIC = 1;
    public const int CLOCK_PROCESS_CPUTIME_ID = 2;
    public const int CLOCK_THREAD_CPUTIME_ID = 3;
    public const int CLOCK_MONOTONIC_RAW = 4;
    public const int CLOCK_BOOTTIME = 7;

    // signals
    public const int SIGHUP = 1;
    public const int SIGINT = 2;
    public const int SIGQUIT = 3;
    public const int SIGABRT = 6;
    public const int SIGKILL = 9;
    public const int SIGUSR1 = 10;
    public const int SIGUSR2 = 12;
    public const int SIGPIPE = 13;
    public const int SIGALRM = 14;
    public const int SIGTERM = 15;
    public const int SIGCHLD = 17;
    public const int SIGCONT = 18;
    public const int SIGSTOP = 19;
    public const int SIGXFSZ = 25;

    // waitid, waitpid
    public const int P_ALL = 0;
    public const int P_PID = 1;
    public const int P_PGID = 2;
    public const int P_PIDFD = 3;
    public const int WNOHANG = 1;
    public const int WEXITED = 4;
    public const int WNOWAIT = 16777216;

    // sockets: families and types
    public const int AF_UNIX = 1;
    public const int AF_INET = 2;
    public const int AF_INET6 = 0xa;
    public const int SOCK_STREAM = 1;
    public const int SOCK_SEQPACKET = 5;
    public const int SOCK_DGRAM = 2;
    public const int SOCK_CLOEXEC = 0x80000;
    public const int SOCK_NONBLOCK = 0x800;

    // sockets: options
    public const int SOL_SOCKET = 1;
    public const int SO_REUSEADDR = 2;
    public const int SO_ERROR = 4;
    public const int SO_SNDBUF = 7;
    public const int SO_RCVBUF = 8;
    public const int SO_KEEPALIVE = 9;
    public const int SO_LINGER = 13;
    public const int SO_PEERCRED = 17;
    public const int SO_RCVTIMEO = 20;
    public const int SO_SNDTIMEO = 21;
    public const int SO_BUSY_POLL = 46;
    public const int SO_INCOMING_CPU = 49;
    public const int SO_ZEROCOPY = 60;
    public const int IPPROTO_TCP = 6;
    public const int IPPROTO_IPV6 = 41;
    public const int IPV6_V6ONLY = 26;
    public const int TCP_NODELAY = 1;
    public const int TCP_KEEPIDLE = 4;
    public const int TCP_KEEPINTVL = 5;
    public const int TCP_KEEPCNT = 6;
    public const int TCP_USER_TIMEOUT = 18;
    public const int TCP_QUICKACK = 12;
    public const int TCP_CORK = 3;
    public const int TCP_NOTSENT_LOWAT = 25;

    // sockets: send, receive, shutdown
    public const int MSG_PEEK = 2;
    public const int MSG_TRUNC = 0x20;
    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_WAITALL = 0x100;
    public const int MSG_NOSIGNAL = 0x4000;
    public const int MSG_MORE = 0x8000;
    public const int MSG_ZEROCOPY = 0x4000000;
    public const int MSG_ERRQUEUE = 0x2000;
    public const int SHUT_RD = 0;
    public const int SHUT_WR = 1;
    public const int SHUT_RDWR = 2;

    // access
    public const int F_OK = 0;
    public const int R_OK = 4;
    public const int W_OK = 2;
    public const int X_OK = 1;

    // open: flags whose value depends on the architecture
    public static int O_DIRECT => LibC.O_DIRECT;

    public static int O_DIRECTORY => LibC.O_DIRECTORY;

    public static int O_NOFOLLOW => LibC.O_NOFOLLOW;

    public static int O_TMPFILE => LibC.O_TMPFILE;
}
