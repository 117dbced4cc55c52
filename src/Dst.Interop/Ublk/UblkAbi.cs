namespace Dst.Interop;

#pragma warning disable CS1591 // the names are the kernel's own, and so is their meaning

/// <summary>Constants of the ublk driver (linux/ublk_cmd.h), up to Linux 7.2.</summary>
public static class UblkAbi
{
    // control commands, numbers before the ioctl encoding
    public const uint UBLK_CMD_GET_QUEUE_AFFINITY = 1;
    public const uint UBLK_CMD_GET_DEV_INFO = 2;
    public const uint UBLK_CMD_ADD_DEV = 4;
    public const uint UBLK_CMD_DEL_DEV = 5;
    public const uint UBLK_CMD_START_DEV = 6;
    public const uint UBLK_CMD_STOP_DEV = 7;
    public const uint UBLK_CMD_SET_PARAMS = 8;
    public const uint UBLK_CMD_GET_PARAMS = 9;
    public const uint UBLK_CMD_START_USER_RECOVERY = 0x10u;
    public const uint UBLK_CMD_END_USER_RECOVERY = 0x11u;
    public const uint UBLK_CMD_GET_DEV_INFO2 = 0x12u;

    // control commands in ioctl encoding, for io_uring_sqe.cmd_op
    public const uint UBLK_U_CMD_GET_QUEUE_AFFINITY = 0x80207501u;
    public const uint UBLK_U_CMD_GET_DEV_INFO = 0x80207502u;
    public const uint UBLK_U_CMD_ADD_DEV = 0xc0207504u;
    public const uint UBLK_U_CMD_DEL_DEV = 0xc0207505u;
    public const uint UBLK_U_CMD_START_DEV = 0xc0207506u;
    public const uint UBLK_U_CMD_STOP_DEV = 0xc0207507u;
    public const uint UBLK_U_CMD_SET_PARAMS = 0xc0207508u;
    public const uint UBLK_U_CMD_GET_PARAMS = 0x80207509u;
    public const uint UBLK_U_CMD_START_USER_RECOVERY = 0xc0207510u;
    public const uint UBLK_U_CMD_END_USER_RECOVERY = 0xc0207511u;
    public const uint UBLK_U_CMD_GET_DEV_INFO2 = 0x80207512u;
    public const uint UBLK_U_CMD_GET_FEATURES = 0x80207513u;
    public const uint UBLK_U_CMD_DEL_DEV_ASYNC = 0x80207514u;
    public const uint UBLK_U_CMD_UPDATE_SIZE = 0xc0207515u;
    public const uint UBLK_U_CMD_QUIESCE_DEV = 0xc0207516u;
    public const uint UBLK_U_CMD_TRY_STOP_DEV = 0xc0207517u;
    public const uint UBLK_U_CMD_REG_BUF = 0xc0207518u;
    public const uint UBLK_U_CMD_UNREG_BUF = 0xc0207519u;

    // length of the answer to GET_FEATURES
    public const ushort UBLK_FEATURES_LEN = 8;

    // I/O commands, numbers before the ioctl encoding
    public const uint UBLK_IO_FETCH_REQ = 0x20u;
    public const uint UBLK_IO_COMMIT_AND_FETCH_REQ = 0x21u;
    public const uint UBLK_IO_NEED_GET_DATA = 0x22u;

    // I/O commands in ioctl encoding
    public const uint UBLK_U_IO_FETCH_REQ = 0xc0107520u;
    public const uint UBLK_U_IO_COMMIT_AND_FETCH_REQ = 0xc0107521u;
    public const uint UBLK_U_IO_NEED_GET_DATA = 0xc0107522u;
    public const uint UBLK_U_IO_REGISTER_IO_BUF = 0xc0107523u;
    public const uint UBLK_U_IO_UNREGISTER_IO_BUF = 0xc0107524u;
    public const uint UBLK_U_IO_PREP_IO_CMDS = 0xc0107525u;
    public const uint UBLK_U_IO_COMMIT_IO_CMDS = 0xc0107526u;
    public const uint UBLK_U_IO_FETCH_IO_CMDS = 0xc0107527u;

    // io_uring_cqe.res of a fetched tag
    public const int UBLK_IO_RES_OK = 0;
    public const int UBLK_IO_RES_NEED_GET_DATA = 1;
    public const int UBLK_IO_RES_ABORT = -19;

    // offsets within /dev/ublkcN: shared descriptors, data of requests
    public const long UBLKSRV_CMD_BUF_OFFSET = 0;
    public const long UBLKSRV_IO_BUF_OFFSET = 0x80000000L;

    // limits
    public const int UBLK_MAX_QUEUE_DEPTH = 4096;
    public const int UBLK_MAX_NR_QUEUES = 4096;

    // place of byte, tag and queue within a data offset
    public const int UBLK_IO_BUF_OFF = 0;
    public const int UBLK_IO_BUF_BITS = 25;
    public const int UBLK_TAG_OFF = 25;
    public const int UBLK_TAG_BITS = 16;
    public const int UBLK_QID_OFF = 41;
    public const int UBLK_QID_BITS = 12;
    public const int UBLKSRV_IO_BUF_TOTAL_BITS = 53;
    public const int UBLK_INTEGRITY_FLAG_OFF = 62;

    // masks of byte, tag and queue before they are shifted, and the whole area
    public const long UBLK_IO_BUF_BITS_MASK = 0x1ffffffL;
    public const long UBLK_TAG_BITS_MASK = 0xffffL;
    public const long UBLK_QID_BITS_MASK = 0xfffL;
    public const long UBLKSRV_IO_BUF_TOTAL_SIZE = 0x20000000000000L;
    public const long UBLKSRV_IO_INTEGRITY_FLAG = 0x4000000000000000L;

    // features: ublksrv_ctrl_dev_info.flags
    public const ulong UBLK_F_SUPPORT_ZERO_COPY = 1ul << 0;
    public const ulong UBLK_F_URING_CMD_COMP_IN_TASK = 1ul << 1;
    public const ulong UBLK_F_NEED_GET_DATA = 1ul << 2;
    public const ulong UBLK_F_USER_RECOVERY = 1ul << 3;
    public const ulong UBLK_F_USER_RECOVERY_REISSUE = 1ul << 4;
    public const ulong UBLK_F_UNPRIVILEGED_DEV = 1ul << 5;
    public const ulong UBLK_F_CMD_IOCTL_ENCODE = 1ul << 6;
    public const ulong UBLK_F_USER_COPY = 1ul << 7;
    public const ulong UBLK_F_ZONED = 1ul << 8;
    public const ulong UBLK_F_USER_RECOVERY_FAIL_IO = 1ul << 9;
    public const ulong UBLK_F_UPDATE_SIZE = 1ul << 10;
    public const ulong UBLK_F_AUTO_BUF_REG = 1ul << 11;
    public const ulong UBLK_F_QUIESCE = 1ul << 12;
    public const ulong UBLK_F_PER_IO_DAEMON = 1ul << 13;
    public const ulong UBLK_F_BUF_REG_OFF_DAEMON = 1ul << 14;
    public const ulong UBLK_F_BATCH_IO = 1ul << 15;
    public const ulong UBLK_F_INTEGRITY = 1ul << 16;
    public const ulong UBLK_F_SAFE_STOP_DEV = 1ul << 17;
    public const ulong UBLK_F_NO_AUTO_PART_SCAN = 1ul << 18;
    public const ulong UBLK_F_SHMEM_ZC = 1ul << 19;

    // states of a device
    public const ushort UBLK_S_DEV_DEAD = 0;
    public const ushort UBLK_S_DEV_LIVE = 1;
    public const ushort UBLK_S_DEV_QUIESCED = 2;
    public const ushort UBLK_S_DEV_FAIL_IO = 3;

    // operations of a request
    public const uint UBLK_IO_OP_READ = 0;
    public const uint UBLK_IO_OP_WRITE = 1;
    public const uint UBLK_IO_OP_FLUSH = 2;
    public const uint UBLK_IO_OP_DISCARD = 3;
    public const uint UBLK_IO_OP_WRITE_SAME = 4;
    public const uint UBLK_IO_OP_WRITE_ZEROES = 5;
    public const uint UBLK_IO_OP_ZONE_OPEN = 10;
    public const uint UBLK_IO_OP_ZONE_CLOSE = 11;
    public const uint UBLK_IO_OP_ZONE_FINISH = 12;
    public const uint UBLK_IO_OP_ZONE_APPEND = 13;
    public const uint UBLK_IO_OP_ZONE_RESET_ALL = 14;
    public const uint UBLK_IO_OP_ZONE_RESET = 15;
    public const uint UBLK_IO_OP_REPORT_ZONES = 18;

    // flags of a request, in ublksrv_io_desc.op_flags
    public const uint UBLK_IO_F_FAILFAST_DEV = 1u << 8;
    public const uint UBLK_IO_F_FAILFAST_TRANSPORT = 1u << 9;
    public const uint UBLK_IO_F_FAILFAST_DRIVER = 1u << 10;
    public const uint UBLK_IO_F_META = 1u << 11;
    public const uint UBLK_IO_F_FUA = 1u << 13;
    public const uint UBLK_IO_F_NOUNMAP = 1u << 15;
    public const uint UBLK_IO_F_SWAP = 1u << 16;
    public const uint UBLK_IO_F_NEED_REG_BUF = 1u << 17;
    public const uint UBLK_IO_F_INTEGRITY = 1u << 18;
    public const uint UBLK_IO_F_SHMEM_ZC = 1u << 19;

    // ublk_auto_buf_reg.flags
    public const byte UBLK_AUTO_BUF_REG_FALLBACK = 1 << 0;

    // ublk_batch_io.flags
    public const ushort UBLK_BATCH_F_HAS_ZONE_LBA = 1 << 0;
    public const ushort UBLK_BATCH_F_HAS_BUF_ADDR = 1 << 1;
    public const ushort UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK = 1 << 2;

    // ublk_param_basic.attrs
    public const uint UBLK_ATTR_READ_ONLY = 1u << 0;
    public const uint UBLK_ATTR_ROTATIONAL = 1u << 1;
    public const uint UBLK_ATTR_VOLATILE_CACHE = 1u << 2;
    public const uint UBLK_ATTR_FUA = 1u << 3;

    // ublk_params.types
    public const uint UBLK_PARAM_TYPE_BASIC = 1u << 0;
    public const uint UBLK_PARAM_TYPE_DISCARD = 1u << 1;
    public const uint UBLK_PARAM_TYPE_DEVT = 1u << 2;
    public const uint UBLK_PARAM_TYPE_ZONED = 1u << 3;
    public const uint UBLK_PARAM_TYPE_DMA_ALIGN = 1u << 4;
    public const uint UBLK_PARAM_TYPE_SEGMENT = 1u << 5;
    public const uint UBLK_PARAM_TYPE_INTEGRITY = 1u << 6;

    // least ublk_param_segment.max_segment_size
    public const uint UBLK_MIN_SEGMENT_SIZE = 4096;

    // shared-memory buffers: flags, and the address of a request in them
    public const uint UBLK_SHMEM_BUF_READ_ONLY = 1u << 0;

    // address within a shared-memory buffer
    public const ulong UBLK_SHMEM_ZC_OFF_MASK = 0xfffffffful;
    public const ulong UBLK_SHMEM_ZC_IDX_MASK = 0xfffful;

    // place of the buffer number in that address
    public const int UBLK_SHMEM_ZC_IDX_OFF = 32;
}
