#!/usr/bin/env python3
"""Reports of known findings (tests/tools/fakereport.c), read back by other people's readers: json, xml, and the lists of fields
that code scanning and JUnit viewers need."""
import json, os, re, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hr
import xml.etree.ElementTree as xml

TOOL = os.path.join(os.environ.get("HR_BUILD", f"{hr.TOP}/build"), "tests/tools/fakereport")
# What a JSON reader has to get back for all bytes from 1 to 255: ASCII as it is, each byte above as U+FFFD.
ALL = "".join(chr(b) for b in range(1, 128)) + "\ufffd" * 128


def report(name, mode="", lang="C.UTF-8"):
    r = subprocess.run([TOOL, name, mode], stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": lang, "COLUMNS": "80"})
    hr.eq(r.returncode, 0, f"{name} {mode}: exits 0")
    text = r.stdout.decode("utf-8")   # raises on anything that is no UTF-8
    bad = [c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or 0x202a <= ord(c) <= 0x202e]
    hr.ok(not bad, f"{name} {mode}: no control character", bad[:5])
    return text


def check_json():
    doc = json.loads(report("json"))
    hr.eq((doc["schema"], doc["command"], doc["tool_version"], doc["exit"]), ("heapray/1", "check", "1.0", 1), "json: header")
    image = doc["image"]
    hr.eq([image[k] for k in ("path", "format", "arch", "word_bits", "endian", "complete", "missing_bytes")],
          ["/dumps/my core", "ELF core", "x86-64", 64, "little", False, 4096], "json: image")
    hr.eq([(m["path"], m["build_id"], m["debug"]) for m in image["modules"]],
          [(ALL, "abcdef0123", "dwarf"), ("/lib/libc.so.6", None, "none")], "json: modules")
    hr.eq(doc["notes"], [{"code": "core.truncated", "text": "the core is cut"}, {"code": "x.y", "text": "good to know", "addr": "0x1234"}], "json: notes")
    a, b, c = doc["findings"]
    hr.eq({k: a[k] for k in ("rule", "severity", "fingerprint", "title", "count", "bytes", "surety", "subject", "remedy", "location", "state")},
          {"rule": "leak.unreachable", "severity": "error", "fingerprint": "0123456789abcdef", "title": ALL, "count": 3, "bytes": 144,
           "surety": "conservative", "subject": {"addr": "0x7f0000001000", "type": ALL}, "remedy": 'Free "it" & go <on>.',
           "location": "src/my server.c:120", "state": "new"}, "json: a finding")
    hr.eq(a["trace"], [{"addr": "0x601000", "type": "global g_app", "field": ".list", "suspect": False},
                       {"addr": "0x7e0000", "type": "struct list", "field": "[3]", "suspect": True},
                       {"addr": "0x7f0000001000", "type": ALL, "field": None, "suspect": False}], "json: its trace")
    hr.eq((b["subject"], b["surety"], b["remedy"], b["bytes"], b["state"]), (None, None, None, 2**64 - 1, "known"), "json: unknown is null")
    hr.eq((c["state"], c["label"]), ("allowed", 'allowed until 2027-01-01 by "x": reason'), "json: allowed")
    hr.eq(doc["skipped_rules"], [{"rule": "oversized.object", "why": ALL}], "json: skipped rules")
    hr.eq(doc["allowances"], [{"name": "x", "reason": ALL, "expires": "2027-01-01", "used": 2, "max_count": None, "state": "used"}], "json: allowances")
    hr.eq(json.loads(report("json", "empty"))["findings"], [], "json: nothing found is an empty list")
    lines = [json.loads(line) for line in report("ndjson").splitlines()]
    hr.eq((len(lines), lines[0]["schema"], [x["rule"] for x in lines[1:4]], lines[4]["exit"]),
          (5, "heapray/1", ["leak.unreachable", "frag.arena", "leak.cycle"], 1), "ndjson: header, findings, the rest")
    hr.eq(lines[1], a, "ndjson: the same finding")


def every(node, key, found):
    todo = [node]
    while todo:
        n = todo.pop()
        if isinstance(n, dict):
            found.extend(v for k, v in n.items() if k == key)
            todo.extend(n.values())
        elif isinstance(n, list):
            todo.extend(n)
    return found


def check_sarif():
    doc = json.loads(report("sarif"))
    run = doc["runs"][0]
    hr.eq((doc["version"], len(doc["runs"]), "sarif-2.1.0" in doc["$schema"]), ("2.1.0", 1, True), "sarif: version")
    driver = run["tool"]["driver"]
    hr.eq([r["id"] for r in driver["rules"]], ["leak.unreachable", "leak.cycle", "frag.arena", "oversized.object"], "sarif: rules")
    hr.ok(all(r["help"]["text"] and r["shortDescription"]["text"] and r["defaultConfiguration"]["level"] in ("note", "warning", "error")
              for r in driver["rules"]), "sarif: each rule has help, a description and a level")
    hr.eq(driver["rules"][0]["shortDescription"]["text"], "Nothing points there.", "sarif: the first sentence describes the rule")
    hr.eq(driver["rules"][0]["properties"], {"tags": ["leak", "ci"], "precision": "high"}, "sarif: tags")
    hr.ok(all(len(t) <= 1024 for t in every(doc, "text", [])), "sarif: no text above 1,024 characters")
    hr.ok(all(len(t) <= 20 for t in every(doc, "tags", [])), "sarif: at most 20 tags")
    results = run["results"]
    hr.eq(len(results), 4, "sarif: three findings and a fixed one")
    for r in results:
        where = r["locations"][0]["physicalLocation"]
        hr.ok(where["artifactLocation"]["uri"] and where["region"]["startLine"] >= 1 and r["message"]["text"], f"sarif: {r['ruleId']} has a place")
        hr.ok(re.fullmatch(r"[0-9a-f]{16}:1", r["partialFingerprints"]["primaryLocationLineHash"]), f"sarif: {r['ruleId']} has the one fingerprint that counts")
        hr.eq(driver["rules"][r["ruleIndex"]]["id"], r["ruleId"], f"sarif: {r['ruleId']}: index")
        hr.ok(r["level"] in ("none", "note", "warning", "error"), f"sarif: {r['ruleId']}: level")
    hr.eq(results[0]["locations"][0]["physicalLocation"], {"artifactLocation": {"uri": "src/my%20server.c"}, "region": {"startLine": 120}}, "sarif: declared at")
    hr.eq([r["baselineState"] for r in results], ["new", "unchanged", "new", "absent"], "sarif: baselineState")
    hr.eq(results[2]["suppressions"], [{"kind": "external", "status": "accepted", "justification": 'allowed until 2027-01-01 by "x": reason'}],
          "sarif: suppressed with `status`")
    flow = results[0]["codeFlows"][0]["threadFlows"][0]["locations"]
    hr.eq([x["importance"] for x in flow], ["important", "essential", "important"], "sarif: the path, its suspect marked")
    hr.ok(all(x["location"]["physicalLocation"] and x["location"]["message"]["text"] for x in flow), "sarif: each step can be shown")
    hr.ok(not every(doc, "absoluteAddress", []) and results[0]["properties"]["address"] == "0x7f0000001000", "sarif: addresses are properties")
    hr.eq((run["invocations"][0]["exitCode"], run["invocations"][0]["executionSuccessful"]), (1, True), "sarif: how it ended")
    hr.eq(len(json.loads(report("sarif", "many"))["runs"][0]["results"]), 25000, "sarif: no more results than a run may have")


def check_junit():
    root = xml.fromstring(report("junit"))
    suites = {s.get("name"): s for s in root.findall("testsuite")}
    hr.eq(sorted(suites), ["frag", "leak", "oversized"], "junit: a suite per group of rules")
    hr.eq({n: tuple(int(s.get(k)) for k in ("tests", "failures", "skipped")) for n, s in suites.items()},
          {"leak": (2, 1, 0), "frag": (1, 0, 0), "oversized": (1, 0, 1)}, "junit: passes are counted; known and allowed do not fail")
    for s in suites.values():
        cases = s.findall("testcase")
        hr.eq((len(cases), sum(c.find("failure") is not None for c in cases), sum(c.find("skipped") is not None for c in cases)),
              tuple(int(s.get(k)) for k in ("tests", "failures", "skipped")), f"junit: {s.get('name')}: the numbers are those of the cases")
    hr.ok("\\x1b" in suites["leak"].find("testcase/failure").get("message"), "junit: controls are spelt out")
    ids = [p.get("value") for p in suites["leak"].find("properties") if p.get("name").startswith("build-id")]
    hr.eq(ids, ["abcdef0123"], "junit: build-ids")


def check_text():
    text = report("text")
    hr.ok(re.search(r"╰→ ", text) and re.search(r"│    ↓ \[3\]\n +│      ~~~\n", text), "text: the path in a box, ~~~ under the suspect")
    for part in ("error [leak.unreachable]", "at src/my server.c:120", "next: heapray show 'my core' 0x7f0000001000", "fix: Free", "evidence: conservative",
                 "INCOMPLETE, 4.0 KiB missing", "not judged: oversized.object", 'allowance "x": used, until 2027-01-01', "fixed since the baseline: leak.unreachable",
                 "1 error, 1 warning, 1 note (2 of them known or allowed) from 4 rules, 1 not judged; exit status 1", "note: the core is cut"):
        hr.ok(part in " ".join(text.split()), f"text: {part}", text)
    hr.ok(all(len(line) <= 80 or "next:" in line or "\\x" in line for line in text.splitlines()), "text: within 80 columns",
          *[line for line in text.splitlines() if len(line) > 80])
    ascii_ = report("text", lang="C")
    hr.ok(all(ord(c) < 128 for c in ascii_) and "`->" in ascii_ and "~~~" in ascii_, "text: ASCII when the terminal wants it")
    alike = report("text", "alike")
    hr.ok(alike.count("one of many") == 1 and "and 499 more like it" in alike, "text: the same finding is told once")
    many = report("text", "many")
    hr.ok(len(many.splitlines()) < 1500 and "more findings; --json lists them all" in many, "text: no endless lists")


hr.main([check_json, check_sarif, check_junit, check_text])
