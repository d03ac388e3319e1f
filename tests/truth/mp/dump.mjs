// node dump.mjs PACKAGE SCRIPT OUT [HEAP]: runs the parts of SCRIPT (cut at "#---") in MicroPython for WebAssembly; whenever it
// prints "@SNAP name" its memory is saved as OUT.name while it stands still; a part "#snap name" saves it when no Python runs; a
// part "#poke" calls into it without running anything: 1.24 to 1.26 collect then, if they were asked to before.
import fs from 'node:fs'
import path from 'node:path'
import url from 'node:url'
const [, , ...args] = process.argv
const [dir, script, out] = args.slice(0, 3).map(a => path.resolve(a))
const heap = args[3]
process.stdout.write = () => true // 1.20 and 1.21 write what they hand over here, too
process.chdir(dir) // 1.20 opens its .wasm by name alone
let memory = null
const instantiate = WebAssembly.instantiate
WebAssembly.instantiate = async function (...a) {
  const r = await instantiate.apply(this, a)
  for (const e of Object.values((r.instance || r).exports)) if (e instanceof WebAssembly.Memory) memory = e
  return r
}
const save = name => fs.writeFileSync(out + '.' + name, Buffer.from(memory.buffer))
const line = s => {
  const t = s.replace(/\r?\n$/, '')
  fs.writeSync(1, t + '\n')
  if (t.startsWith('@SNAP ')) save(t.slice(6))
}
const m = await import(url.pathToFileURL(path.join(dir, 'micropython.mjs')))
const mp = await m.loadMicroPython({ heapsize: Number(heap || 64 * 1024), stdout: line, linebuffer: true })
for (const part of fs.readFileSync(script, 'utf8').split('#---\n')) {
  if (part.startsWith('#snap ')) save(part.slice(6).trim())
  else if (part.startsWith('#poke')) mp.globals.get('__name__')
  else {
    try {
      mp.runPython(part)
    } catch (e) { // 1.20 and 1.21 were built without what their own gc.collect() needs
      if (!/async support/.test(e)) throw e
      line('@NOGC')
      break
    }
  }
}
process.exit(0)
