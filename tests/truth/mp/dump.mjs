// node dump.mjs PACKAGE SCRIPT OUT [HEAP]: runs the parts of SCRIPT (cut at "#---") in MicroPython for WebAssembly; whenever it
// prints "@SNAP name" its memory is saved as OUT.name while it stands still; a part "#snap name" saves it when no Python runs.
import fs from 'node:fs'
import path from 'node:path'
import url from 'node:url'
const [, , dir, script, out, heap] = process.argv
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
  console.log(t)
  if (t.startsWith('@SNAP ')) save(t.slice(6))
}
const m = await import(url.pathToFileURL(path.join(dir, 'micropython.mjs')))
const mp = await m.loadMicroPython({ heapsize: Number(heap || 64 * 1024), stdout: line, linebuffer: true })
for (const part of fs.readFileSync(script, 'utf8').split('#---\n')) {
  if (part.startsWith('#snap ')) save(part.slice(6).trim())
  else mp.runPython(part)
}
