// node dump.mjs PACKAGE SCRIPT OUT: runs SCRIPT in Pyodide; whenever it prints "@SNAP name" its memory is saved as OUT.name while it stands still.
import fs from 'node:fs'
import path from 'node:path'
import url from 'node:url'
const [, , dir, script, out] = process.argv
let py = null
const line = s => {
  console.log(s)
  if (s.startsWith('@SNAP ')) fs.writeFileSync(out + '.' + s.slice(6).trim(), Buffer.from(py._module.HEAPU8.buffer))
}
const m = await import(url.pathToFileURL(path.join(path.resolve(dir), 'pyodide.mjs')))
py = await m.loadPyodide({ stdout: line, stderr: line })
try {
  py.runPython(fs.readFileSync(script, 'utf8'))
} catch (e) { // node would print the whole of the program first
  console.log(e.message)
  process.exitCode = 1
}
