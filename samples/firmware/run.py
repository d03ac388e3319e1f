#!/usr/bin/env python3
"""run.py BOARD LIBC NAME: builds the sample, runs it under QEMU to its end, leaves NAME.elf, NAME.bin (its RAM), NAME.regs and NAME.log
(what it said of itself). Boards: lm3s stm32vl mps2 microbit netduino rv32 rv64; C libraries: nano newlib pico."""
import os, socket, subprocess, sys, time

BOARDS = {"lm3s": ("arm", "lm3s6965evb", 0x20000000, 64), "stm32vl": ("arm", "stm32vldiscovery", 0x20000000, 8),
          "mps2": ("arm", "mps2-an385", 0x20000000, 32), "microbit": ("arm", "microbit", 0x20000000, 16),
          "netduino": ("arm", "netduinoplus2", 0x20000000, 128), "rv32": ("riscv32", "virt", 0x80100000, 64),
          "rv64": ("riscv64", "virt", 0x80100000, 64)}


def answer(s):
    got = b""
    while not got.endswith(b"(qemu) "):
        got += s.recv(65536)
    return "\n".join(got.decode(errors="replace").replace("\r", "").split("\n")[1:-1]) + "\n"


def main(board, libc, name):
    cpu, machine, base, kib = BOARDS[board]
    here = os.path.dirname(os.path.abspath(__file__))
    name = os.path.abspath(name)
    subprocess.run([f"{here}/build.sh", board, libc, name + ".elf"], check=True)
    open(name + ".log", "w").close()
    q = subprocess.Popen([f"qemu-system-{cpu}", "-M", machine, *(["-bios", "none"] if cpu != "arm" else []), "-kernel", name + ".elf",
                          "-display", "none", "-serial", "none", "-chardev", f"file,id=sh,path={name}.log",
                          "-semihosting-config", "enable=on,target=native,chardev=sh", "-monitor", f"unix:{name}.mon,server=on,wait=off"],
                         stdin=subprocess.DEVNULL)
    try:
        while "\ndone\n" not in open(name + ".log").read() and q.poll() is None:
            time.sleep(0.02)
        s = socket.socket(socket.AF_UNIX)
        s.connect(name + ".mon")
        answer(s)
        for command, to in (("stop", None), ("info registers", name + ".regs"), (f'memsave {base:#x} {kib << 10} "{name}.bin"', None)):
            s.sendall(command.encode() + b"\n")
            text = answer(s)
            if to:
                open(to, "w").write(text)
    finally:
        q.kill()
        q.wait()
        if os.path.exists(name + ".mon"):
            os.unlink(name + ".mon")
    n = os.path.relpath(name)
    print(f"heapray map {n}.bin@{base:#x} --elf {n}.elf --regs {n}.regs\nheapray check {n}.bin@{base:#x} --elf {n}.elf --regs {n}.regs")


if len(sys.argv) != 4 or sys.argv[1] not in BOARDS:
    sys.exit(__doc__)
main(*sys.argv[1:])
