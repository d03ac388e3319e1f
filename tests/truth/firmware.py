"""The sample firmware under QEMU: its RAM, registers and what it said of itself. Nothing here asks heapray."""
import os, re, shutil, socket, subprocess, time

import hr

BOARDS = {  # machine, where its RAM is
    "lm3s": ("lm3s6965evb", 0x20000000, 64 << 10),
    "stm32vl": ("stm32vldiscovery", 0x20000000, 8 << 10),
    "mps2": ("mps2-an385", 0x20000000, 32 << 10),
    "microbit": ("microbit", 0x20000000, 16 << 10),
    "netduino": ("netduinoplus2", 0x20000000, 128 << 10),
    "rv32": ("virt", 0x80100000, 64 << 10),
    "rv64": ("virt", 0x80100000, 64 << 10),
}


def emulator(board):
    return {"rv32": "qemu-system-riscv32", "rv64": "qemu-system-riscv64"}.get(board, "qemu-system-arm")


def missing(board, libc):
    """What this machine lacks to build and run it, or None."""
    cc = "riscv64-unknown-elf-gcc" if board.startswith("rv") else "arm-none-eabi-gcc"
    for tool in (cc, emulator(board)):
        if not shutil.which(tool):
            return f"no {tool}"
    specs = {"nano": "nano.specs", "newlib": "nosys.specs", "pico": "picolibc.specs"}[libc]
    found = subprocess.run([cc, f"-print-file-name={specs}"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return None if found != specs else f"no {specs}"


_runs = {}


def run(board, libc):
    """One run of each build is enough: the same RAM comes out every time."""
    if (board, libc) not in _runs:
        _runs[board, libc] = Run(board, libc, core=board == "lm3s")
    return _runs[board, libc]


class Run:
    """Builds, runs to the end, saves RAM and registers. alive: {address: requested}; lost: {address: kind}."""

    def __init__(self, board, libc, core=False, name="", extra=(), poke=None, elf=None, program=None):
        """extra: more arguments for the compiler, under a name of their own. poke: (address, word) put into memory before the start.
        elf: that one, instead of building. program: a source file instead of the sample's."""
        self.name = f"{board}-{libc}{name}"
        self.board = board
        machine, self.base, self.size = BOARDS[board]
        self.elf, self.ram, self.regs = (hr.path(self.name + end) for end in (".elf", ".bin", ".regs"))
        self.core = hr.path(self.name + ".core") if core else None
        self.poke = poke
        if elf:
            self.elf = elf
        else:
            subprocess.run([f"{hr.TOP}/samples/firmware/build.sh", board, libc, self.elf, *extra], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, env={**os.environ, **({"PROGRAM": program} if program else {})})
        self._emulate(machine)
        self._listen()
        self.image = f"{self.ram}@{self.base:#x}"

    def _emulate(self, machine):
        log, mon = hr.path(self.name + ".log"), hr.path(self.name + ".mon")
        for old in (log, mon):
            if os.path.exists(old):
                os.unlink(old)
        bios = ["-bios", "none"] if machine == "virt" else []
        poke = ["-device", f"loader,addr={self.poke[0]:#x},data={self.poke[1]:#x},data-len=4"] if self.poke else []
        q = subprocess.Popen([emulator(self.board), "-M", machine, *bios, *poke, "-kernel", self.elf, "-display", "none", "-serial", "none",
                              "-chardev", f"file,id=sh,path={log}", "-semihosting-config", "enable=on,target=native,chardev=sh",
                              "-monitor", f"unix:{mon},server=on,wait=off"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hr._started.append(q)
        for _ in range(1500):
            self.log = open(log).read() if os.path.exists(log) else ""
            if "\ndone\n" in self.log or q.poll() is not None:
                break
            time.sleep(0.02)
        else:
            raise RuntimeError(f"{self.name} did not finish: {self.log[-300:]!r}")
        s = socket.socket(socket.AF_UNIX)
        s.connect(mon)
        s.settimeout(20)
        self._ask(s, None)
        self._ask(s, "stop")
        text = self._ask(s, "info registers")
        self._ask(s, f'memsave {self.base:#x} {self.size} "{self.ram}"')
        if self.core:
            self._ask(s, f'dump-guest-memory "{self.core}"')
            os.chmod(self.core, 0o600)
        open(self.regs, "w").write(text)
        s.close()
        q.kill()
        q.wait()

    @staticmethod
    def _ask(s, command):
        if command:
            s.sendall(command.encode() + b"\n")
        got = b""
        while not got.endswith(b"(qemu) "):
            got += s.recv(65536)
        lines = got.decode(errors="replace").replace("\r", "").split("\n")
        return "\n".join(lines[1:-1]) + "\n"

    def _listen(self):
        self.alive, self.lost, self.types = {}, {}, {}
        for line in self.log.splitlines():
            w = line.split()
            if w[0] == "alloc":
                self.alive[int(w[1], 16)] = int(w[2], 16)
                self.types[int(w[1], 16)] = " ".join(w[3:])
            elif w[0] == "type":
                self.types[int(w[1], 16)] = " ".join(w[2:])
            elif w[0] == "free":
                del self.alive[int(w[1], 16)]
            elif w[0] == "lost":
                self.lost[int(w[2], 16)] = w[1]
            elif w[0] == "arena":
                self.arena = int(w[1], 16)
            elif w[0] == "mallinfo":
                self.in_use, self.free = int(w[1], 16), int(w[2], 16)
            elif w[0] == "fault":
                raise RuntimeError(f"{self.name}: {self.log[-300:]!r}")
