namespace Dst.Interop;

#pragma warning disable CS1591 // the names are the kernel's own, and so is their meaning

/// <summary>Constants of io_uring (linux/io_uring.h), up to Linux 7.2. A name newer than the running kernel is refused by it.</summary>
public static class IoUringAbi
{
    // io_uring_setup: flags
    public const uint IORING_SETUP_IOPOLL = 1u << 0;
    public const uint IORING_SETUP_SQPOLL = 1u << 1;
    public const uint IORING_SETUP_SQ_AFF = 1u << 2;
    public const uint IORING_SETUP_CQSIZE = 1u << 3;
    public const uint IORING_SETUP_CLAMP = 1u << 4;
    public const uint IORING_SETUP_ATTACH_WQ = 1u << 5;
    public const uint IORING_SETUP_R_DISABLED = 1u << 6;
    public const uint IORING_SETUP_SUBMIT_ALL = 1u << 7;
    public const uint IORING_SETUP_COOP_TASKRUN = 1u << 8;
    public const uint IORING_SETUP_TASKRUN_FLAG = 1u << 9;
    public const uint IORING_SETUP_SQE128 = 1u << 10;
    public const uint IORING_SETUP_CQE32 = 1u << 11;
    public const uint IORING_SETUP_SINGLE_ISSUER = 1u << 12;
    public const uint IORING_SETUP_DEFER_TASKRUN = 1u << 13;
    public const uint IORING_SETUP_NO_MMAP = 1u << 14;
    public const uint IORING_SETUP_REGISTERED_FD_ONLY = 1u << 15;
    public const uint IORING_SETUP_NO_SQARRAY = 1u << 16;
    public const uint IORING_SETUP_HYBRID_IOPOLL = 1u << 17;
    public const uint IORING_SETUP_CQE_MIXED = 1u << 18;
    public const uint IORING_SETUP_SQE_MIXED = 1u << 19;
    public const uint IORING_SETUP_SQ_REWIND = 1u << 20;

    // io_uring_params.features
    public const uint IORING_FEAT_SINGLE_MMAP = 1u << 0;
    public const uint IORING_FEAT_NODROP = 1u << 1;
    public const uint IORING_FEAT_SUBMIT_STABLE = 1u << 2;
    public const uint IORING_FEAT_RW_CUR_POS = 1u << 3;
    public const uint IORING_FEAT_CUR_PERSONALITY = 1u << 4;
    public const uint IORING_FEAT_FAST_POLL = 1u << 5;
    public const uint IORING_FEAT_POLL_32BITS = 1u << 6;
    public const uint IORING_FEAT_SQPOLL_NONFIXED = 1u << 7;
    public const uint IORING_FEAT_EXT_ARG = 1u << 8;
    public const uint IORING_FEAT_NATIVE_WORKERS = 1u << 9;
    public const uint IORING_FEAT_RSRC_TAGS = 1u << 10;
    public const uint IORING_FEAT_CQE_SKIP = 1u << 11;
    public const uint IORING_FEAT_LINKED_FILE = 1u << 12;
    public const uint IORING_FEAT_REG_REG_RING = 1u << 13;
    public const uint IORING_FEAT_RECVSEND_BUNDLE = 1u << 14;
    public const uint IORING_FEAT_MIN_TIMEOUT = 1u << 15;
    public const uint IORING_FEAT_RW_ATTR = 1u << 16;
    public const uint IORING_FEAT_NO_IOWAIT = 1u << 17;

    // io_uring_sqe.opcode
    public const byte IORING_OP_NOP = 0;
    public const byte IORING_OP_READV = 1;
    public const byte IORING_OP_WRITEV = 2;
    public const byte IORING_OP_FSYNC = 3;
    public const byte IORING_OP_READ_FIXED = 4;
    public const byte IORING_OP_WRITE_FIXED = 5;
    public const byte IORING_OP_POLL_ADD = 6;
    public const byte IORING_OP_POLL_REMOVE = 7;
    public const byte IORING_OP_SYNC_FILE_RANGE = 8;
    public const byte IORING_OP_SENDMSG = 9;
    public const byte IORING_OP_RECVMSG = 10;
    public const byte IORING_OP_TIMEOUT = 11;
    public const byte IORING_OP_TIMEOUT_REMOVE = 12;
    public const byte IORING_OP_ACCEPT = 13;
    public const byte IORING_OP_ASYNC_CANCEL = 14;
    public const byte IORING_OP_LINK_TIMEOUT = 15;
    public const byte IORING_OP_CONNECT = 16;
    public const byte IORING_OP_FALLOCATE = 17;
    public const byte IORING_OP_OPENAT = 18;
    public const byte IORING_OP_CLOSE = 19;
    public const byte IORING_OP_FILES_UPDATE = 20;
    public const byte IORING_OP_STATX = 21;
    public const byte IORING_OP_READ = 22;
    public const byte IORING_OP_WRITE = 23;
    public const byte IORING_OP_FADVISE = 24;
    public const byte IORING_OP_MADVISE = 25;
    public const byte IORING_OP_SEND = 26;
    public const byte IORING_OP_RECV = 27;
    public const byte IORING_OP_OPENAT2 = 28;
    public const byte IORING_OP_EPOLL_CTL = 29;
    public const byte IORING_OP_SPLICE = 30;
    public const byte IORING_OP_PROVIDE_BUFFERS = 31;
    public const byte IORING_OP_REMOVE_BUFFERS = 32;
    public const byte IORING_OP_TEE = 33;
    public const byte IORING_OP_SHUTDOWN = 34;
    public const byte IORING_OP_RENAMEAT = 35;
    public const byte IORING_OP_UNLINKAT = 36;
    public const byte IORING_OP_MKDIRAT = 37;
    public const byte IORING_OP_SYMLINKAT = 38;
    public const byte IORING_OP_LINKAT = 39;
    public const byte IORING_OP_MSG_RING = 40;
    public const byte IORING_OP_FSETXATTR = 41;
    public const byte IORING_OP_SETXATTR = 42;
    public const byte IORING_OP_FGETXATTR = 43;
    public const byte IORING_OP_GETXATTR = 44;
    public const byte IORING_OP_SOCKET = 45;
    public const byte IORING_OP_URING_CMD = 46;
    public const byte IORING_OP_SEND_ZC = 47;
    public const byte IORING_OP_SENDMSG_ZC = 48;
    public const byte IORING_OP_READ_MULTISHOT = 49;
    public const byte IORING_OP_WAITID = 50;
    public const byte IORING_OP_FUTEX_WAIT = 51;
    public const byte IORING_OP_FUTEX_WAKE = 52;
    public const byte IORING_OP_FUTEX_WAITV = 53;
    public const byte IORING_OP_FIXED_FD_INSTALL = 54;
    public const byte IORING_OP_FTRUNCATE = 55;
    public const byte IORING_OP_BIND = 56;
    public const byte IORING_OP_LISTEN = 57;
    public const byte IORING_OP_RECV_ZC = 58;
    public const byte IORING_OP_EPOLL_WAIT = 59;
    public const byte IORING_OP_READV_FIXED = 60;
    public const byte IORING_OP_WRITEV_FIXED = 61;
    public const byte IORING_OP_PIPE = 62;
    public const byte IORING_OP_NOP128 = 63;
    public const byte IORING_OP_URING_CMD128 = 64;

    // io_uring_sqe.flags
    public const byte IOSQE_FIXED_FILE = 1 << 0;
    public const byte IOSQE_IO_DRAIN = 1 << 1;
    public const byte IOSQE_IO_LINK = 1 << 2;
    public const byte IOSQE_IO_HARDLINK = 1 << 3;
    public const byte IOSQE_ASYNC = 1 << 4;
    public const byte IOSQE_BUFFER_SELECT = 1 << 5;
    public const byte IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

    // io_uring_sqe.file_index: let the kernel choose
    public const uint IORING_FILE_INDEX_ALLOC = 0xffffffffu;

    // io_uring_sqe.uring_cmd_flags
    public const uint IORING_URING_CMD_FIXED = 1u << 0;
    public const uint IORING_URING_CMD_MULTISHOT = 1u << 1;

    // io_uring_sqe.fsync_flags
    public const uint IORING_FSYNC_DATASYNC = 1u << 0;

    // io_uring_sqe.timeout_flags
    public const uint IORING_TIMEOUT_ABS = 1u << 0;
    public const uint IORING_TIMEOUT_UPDATE = 1u << 1;
    public const uint IORING_TIMEOUT_BOOTTIME = 1u << 2;
    public const uint IORING_TIMEOUT_REALTIME = 1u << 3;
    public const uint IORING_LINK_TIMEOUT_UPDATE = 1u << 4;
    public const uint IORING_TIMEOUT_ETIME_SUCCESS = 1u << 5;
    public const uint IORING_TIMEOUT_MULTISHOT = 1u << 6;
    public const uint IORING_TIMEOUT_IMMEDIATE_ARG = 1u << 7;

    // io_uring_sqe.len of POLL_ADD
    public const uint IORING_POLL_ADD_MULTI = 1u << 0;
    public const uint IORING_POLL_UPDATE_EVENTS = 1u << 1;
    public const uint IORING_POLL_UPDATE_USER_DATA = 1u << 2;
    public const uint IORING_POLL_ADD_LEVEL = 1u << 3;

    // io_uring_sqe.cancel_flags
    public const uint IORING_ASYNC_CANCEL_ALL = 1u << 0;
    public const uint IORING_ASYNC_CANCEL_FD = 1u << 1;
    public const uint IORING_ASYNC_CANCEL_ANY = 1u << 2;
    public const uint IORING_ASYNC_CANCEL_FD_FIXED = 1u << 3;
    public const uint IORING_ASYNC_CANCEL_USERDATA = 1u << 4;
    public const uint IORING_ASYNC_CANCEL_OP = 1u << 5;

    // io_uring_sqe.ioprio of send, receive and accept
    public const ushort IORING_RECVSEND_POLL_FIRST = 1 << 0;
    public const ushort IORING_RECV_MULTISHOT = 1 << 1;
    public const ushort IORING_RECVSEND_FIXED_BUF = 1 << 2;
    public const ushort IORING_SEND_ZC_REPORT_USAGE = 1 << 3;
    public const ushort IORING_RECVSEND_BUNDLE = 1 << 4;
    public const ushort IORING_SEND_VECTORIZED = 1 << 5;
    public const ushort IORING_ACCEPT_MULTISHOT = 1 << 0;
    public const ushort IORING_ACCEPT_DONTWAIT = 1 << 1;
    public const ushort IORING_ACCEPT_POLL_FIRST = 1 << 2;

    // io_uring_sqe.addr and flags of MSG_RING
    public const ulong IORING_MSG_DATA = 0;
    public const ulong IORING_MSG_SEND_FD = 1;

    // io_uring_sqe.msg_ring_flags
    public const uint IORING_MSG_RING_CQE_SKIP = 1u << 0;
    public const uint IORING_MSG_RING_FLAGS_PASS = 1u << 1;

    // io_uring_sqe.nop_flags
    public const uint IORING_NOP_INJECT_RESULT = 1u << 0;
    public const uint IORING_NOP_FILE = 1u << 1;
    public const uint IORING_NOP_FIXED_FILE = 1u << 2;
    public const uint IORING_NOP_FIXED_BUFFER = 1u << 3;
    public const uint IORING_NOP_TW = 1u << 4;
    public const uint IORING_NOP_CQE32 = 1u << 5;

    // io_uring_cqe.flags
    public const uint IORING_CQE_F_BUFFER = 1u << 0;
    public const uint IORING_CQE_F_MORE = 1u << 1;
    public const uint IORING_CQE_F_SOCK_NONEMPTY = 1u << 2;
    public const uint IORING_CQE_F_NOTIF = 1u << 3;
    public const uint IORING_CQE_F_BUF_MORE = 1u << 4;
    public const uint IORING_CQE_F_SKIP = 1u << 5;
    public const uint IORING_CQE_F_32 = 1u << 15;

    // io_uring_cqe.flags: place of the buffer number; result of a zero-copy notification
    public const int IORING_CQE_BUFFER_SHIFT = 16;

    // io_uring_cqe.res of a zero-copy notification
    public const uint IORING_NOTIF_USAGE_ZC_COPIED = 1u << 31;

    // mmap offsets of a ring
    public const long IORING_OFF_SQ_RING = 0;
    public const long IORING_OFF_CQ_RING = 0x8000000L;
    public const long IORING_OFF_SQES = 0x10000000L;
    public const long IORING_OFF_PBUF_RING = 0x80000000L;

    // mmap offset of a provided-buffer ring: place of its group
    public const int IORING_OFF_PBUF_SHIFT = 16;

    // flags of the submission ring
    public const uint IORING_SQ_NEED_WAKEUP = 1u << 0;
    public const uint IORING_SQ_CQ_OVERFLOW = 1u << 1;
    public const uint IORING_SQ_TASKRUN = 1u << 2;

    // flags of the completion ring
    public const uint IORING_CQ_EVENTFD_DISABLED = 1u << 0;

    // io_uring_enter: flags
    public const uint IORING_ENTER_GETEVENTS = 1u << 0;
    public const uint IORING_ENTER_SQ_WAKEUP = 1u << 1;
    public const uint IORING_ENTER_SQ_WAIT = 1u << 2;
    public const uint IORING_ENTER_EXT_ARG = 1u << 3;
    public const uint IORING_ENTER_REGISTERED_RING = 1u << 4;
    public const uint IORING_ENTER_ABS_TIMER = 1u << 5;
    public const uint IORING_ENTER_EXT_ARG_REG = 1u << 6;
    public const uint IORING_ENTER_NO_IOWAIT = 1u << 7;

    // io_uring_register: operations
    public const uint IORING_REGISTER_BUFFERS = 0;
    public const uint IORING_UNREGISTER_BUFFERS = 1;
    public const uint IORING_REGISTER_FILES = 2;
    public const uint IORING_UNREGISTER_FILES = 3;
    public const uint IORING_REGISTER_EVENTFD = 4;
    public const uint IORING_UNREGISTER_EVENTFD = 5;
    public const uint IORING_REGISTER_FILES_UPDATE = 6;
    public const uint IORING_REGISTER_EVENTFD_ASYNC = 7;
    public const uint IORING_REGISTER_PROBE = 8;
    public const uint IORING_REGISTER_PERSONALITY = 9;
    public const uint IORING_UNREGISTER_PERSONALITY = 10;
    public const uint IORING_REGISTER_RESTRICTIONS = 11;
    public const uint IORING_REGISTER_ENABLE_RINGS = 12;
    public const uint IORING_REGISTER_FILES2 = 13;
    public const uint IORING_REGISTER_FILES_UPDATE2 = 14;
    public const uint IORING_REGISTER_BUFFERS2 = 15;
    public const uint IORING_REGISTER_BUFFERS_UPDATE = 16;
    public const uint IORING_REGISTER_IOWQ_AFF = 17;
    public const uint IORING_UNREGISTER_IOWQ_AFF = 18;
    public const uint IORING_REGISTER_IOWQ_MAX_WORKERS = 19;
    public const uint IORING_REGISTER_RING_FDS = 20;
    public const uint IORING_UNREGISTER_RING_FDS = 21;
    public const uint IORING_REGISTER_PBUF_RING = 22;
    public const uint IORING_UNREGISTER_PBUF_RING = 23;
    public const uint IORING_REGISTER_SYNC_CANCEL = 24;
    public const uint IORING_REGISTER_FILE_ALLOC_RANGE = 25;
    public const uint IORING_REGISTER_PBUF_STATUS = 26;
    public const uint IORING_REGISTER_NAPI = 27;
    public const uint IORING_UNREGISTER_NAPI = 28;
    public const uint IORING_REGISTER_CLOCK = 29;
    public const uint IORING_REGISTER_CLONE_BUFFERS = 30;
    public const uint IORING_REGISTER_SEND_MSG_RING = 31;
    public const uint IORING_REGISTER_ZCRX_IFQ = 32;
    public const uint IORING_REGISTER_RESIZE_RINGS = 33;
    public const uint IORING_REGISTER_MEM_REGION = 34;
    public const uint IORING_REGISTER_QUERY = 35;
    public const uint IORING_REGISTER_ZCRX_CTRL = 36;
    public const uint IORING_REGISTER_BPF_FILTER = 37;

    // io_uring_register: flag beside the operation
    public const uint IORING_REGISTER_USE_REGISTERED_RING = 1u << 31;

    // io_uring_register: arguments
    public const uint IORING_RSRC_REGISTER_SPARSE = 1u << 0;

    // io_uring_register: a slot to leave alone
    public const int IORING_REGISTER_FILES_SKIP = -2;

    // io_uring_probe_op.flags
    public const ushort IO_URING_OP_SUPPORTED = 1 << 0;

    // io_uring_buf_reg.flags
    public const ushort IOU_PBUF_RING_MMAP = 1;
    public const ushort IOU_PBUF_RING_INC = 2;
}
