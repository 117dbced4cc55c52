namespace Dst.Interop;

#pragma warning disable CS1591 // the names are the kernel's own, and so is their meaning

/// <summary>Requests to block devices, file systems and the loop driver.</summary>
public static class BlockAbi
{
    // ioctl on a block device
    public const uint BLKROSET = 0x125du;
    public const uint BLKROGET = 0x125eu;
    public const uint BLKRRPART = 0x125fu;
    public const uint BLKFLSBUF = 0x1261u;
    public const uint BLKSSZGET = 0x1268u;
    public const uint BLKBSZGET = 0x80081270u;
    public const uint BLKGETSIZE64 = 0x80081272u;
    public const uint BLKDISCARD = 0x1277u;
    public const uint BLKIOMIN = 0x1278u;
    public const uint BLKIOOPT = 0x1279u;
    public const uint BLKALIGNOFF = 0x127au;
    public const uint BLKPBSZGET = 0x127bu;
    public const uint BLKROTATIONAL = 0x127eu;
    public const uint BLKZEROOUT = 0x127fu;
    public const uint BLKGETDISKSEQ = 0x80081280u;

    // io_uring_sqe.cmd_op of a URING_CMD on a block device (Linux 6.12)
    public const uint BLOCK_URING_CMD_DISCARD = 0x1200u;

    // ioctl on a file: its file system
    public const uint FS_IOC_GETFSUUID = 0x80111500u;
    public const uint FS_IOC_GETFLAGS = 0x80086601u;

    // answers of FS_IOC_GETFLAGS
    public const uint FS_NOCOW_FL = 0x800000u;
    public const uint FS_IMMUTABLE_FL = 0x10u;
    public const uint FS_APPEND_FL = 0x20u;
    public const uint FS_COMPR_FL = 4;

    // fallocate: mode
    public const int FALLOC_FL_ALLOCATE_RANGE = 0;
    public const int FALLOC_FL_KEEP_SIZE = 1;
    public const int FALLOC_FL_PUNCH_HOLE = 2;
    public const int FALLOC_FL_COLLAPSE_RANGE = 8;
    public const int FALLOC_FL_ZERO_RANGE = 0x10;
    public const int FALLOC_FL_INSERT_RANGE = 0x20;
    public const int FALLOC_FL_UNSHARE_RANGE = 0x40;
    public const int FALLOC_FL_WRITE_ZEROES = 0x80;

    // io_uring_sqe.rw_flags and preadv2
    public const uint RWF_HIPRI = 1;
    public const uint RWF_DSYNC = 2;
    public const uint RWF_SYNC = 4;
    public const uint RWF_NOWAIT = 8;
    public const uint RWF_APPEND = 0x10u;
    public const uint RWF_NOAPPEND = 0x20u;
    public const uint RWF_ATOMIC = 0x40u;
    public const uint RWF_DONTCACHE = 0x80u;
    public const uint RWF_NOSIGNAL = 0x100u;

    // loop driver
    public const uint LOOP_SET_FD = 0x4c00u;
    public const uint LOOP_CLR_FD = 0x4c01u;
    public const uint LOOP_GET_STATUS64 = 0x4c05u;
    public const uint LOOP_CONFIGURE = 0x4c0au;
    public const uint LOOP_CTL_ADD = 0x4c80u;
    public const uint LOOP_CTL_REMOVE = 0x4c81u;
    public const uint LOOP_CTL_GET_FREE = 0x4c82u;

    // loop_info64.lo_flags
    public const uint LO_FLAGS_READ_ONLY = 1;
    public const uint LO_FLAGS_AUTOCLEAR = 4;
    public const uint LO_FLAGS_PARTSCAN = 8;
    public const uint LO_FLAGS_DIRECT_IO = 16;

    // loop_info64: bytes of a name
    public const int LO_NAME_SIZE = 64;
}
