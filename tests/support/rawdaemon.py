# A daemon on the raw protocol: synchronous INIT, a backing file, SIGIO.
import ctypes, fcntl, os, signal, struct, threading, time, mmap
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir("/w/raw")
with open("/w/back", "wb") as f: f.write(b"0123456789" * 1000)
dev = os.open("/dev/fuse", os.O_RDWR)
fcntl.ioctl(dev, 0xE503)                                   # SYNC_INIT
back = os.open("/w/back", os.O_RDWR)
log = []
def attr(ino, mode, size): return struct.pack("<6Q3I7I", ino, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def serve():
    backing = 0
    while True:
        try: msg = os.read(dev, 1 << 21)                   # sleeps until the mount
        except OSError: return
        length, op, unique, node = struct.unpack_from("<IIQQ", msg)
        log.append(op)
        err, out = 0, b""
        if op == 26:
            time.sleep(0.3)
            out = struct.pack("<4I2H2I2H4I", 7, 45, 131072, 1 << 30 | 1 << 5, 12, 9, 131072, 1, 32, 0, 1 << 5, 1, 0, 0).ljust(64, b"\0")
        elif op == 1 and msg[40:-1] == b"f": out = struct.pack("<4Q2I", 2, 0, 100, 100, 0, 0) + attr(2, 0o100644, 10000)
        elif op == 1: err = -2
        elif op == 3: out = struct.pack("<QII", 100, 0, 0) + attr(node, 0o40755 if node == 1 else 0o100644, 10000)
        elif op == 14:
            backing = libc.ioctl(dev, ctypes.c_ulong(0x4010E501), struct.pack("<iIQ", back, 0, 0))
            out = struct.pack("<QIi", 7, 1 << 7, backing)
        elif op in (2, 42): continue
        elif op in (18, 25): pass
        else: err = -38
        try: os.write(dev, struct.pack("<IiQ", 16 + len(out), err, unique) + out)
        except OSError: return
t = threading.Thread(target=serve, daemon=True); t.start()
time.sleep(0.1)
start = time.time()
if libc.mount(b"raw", b"/w/raw", b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % dev): raise OSError(ctypes.get_errno(), "mount")
print("mount waited for INIT:", time.time() - start > 0.25)
f = os.open("/w/raw/f", os.O_RDWR)
print("read", os.pread(f, 10, 5), "wrote", os.pwrite(f, b"ABC", 0), "backing has", os.pread(back, 5, 0))
m = mmap.mmap(f, 4096)
m[10:13] = b"xyz"; m.flush()
print("mapped", m[:5], os.pread(back, 5, 9)); m.close()
got = []
signal.signal(signal.SIGIO, lambda *a: got.append(1))
fcntl.fcntl(dev, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(dev, fcntl.F_SETFL, os.O_ASYNC | fcntl.fcntl(dev, fcntl.F_GETFL))
try: os.stat("/w/raw/none")
except FileNotFoundError: pass
def wait_for(what):
    end = time.monotonic() + 20
    while not what() and time.monotonic() < end: time.sleep(0.01)
wait_for(lambda: got)
print("SIGIO", len(got) > 0)
signal.signal(signal.SIGIO, signal.SIG_IGN) # the interpreter's end takes a handler away
os.close(f); wait_for(lambda: 18 in log) # RELEASE
print("READ or WRITE asked:", 15 in log or 16 in log)
libc.umount2(b"/w/raw", 2)
