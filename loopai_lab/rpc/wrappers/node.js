// Run one program on one input and print what becomes of it between marks; a watchdog thread ends it when its time is over.
//
// It is sent as text and runs as CommonJS, by `node file.js` or `node -e`. What the program prints is printed as marked
// ASCII records, at once: a server may trim and re-encode the stream, and what was printed before a kill is kept.
// Every item has an empty folder of its own.
'use strict';
const supervise = (code, inputJson, token, timeoutMs) => {
  const fs = require('fs');
  const path = require('path');
  const vm = require('vm');
  const { StringDecoder } = require('string_decoder');
  const { parse, stringify } = JSON;
  const exit = process.exit.bind(process);
  const now = performance.now.bind(performance);
  const keptCharacters = 1 << 17;
  const folder = fs.mkdtempSync(path.join(require('os').tmpdir(), 'loopai-item-'));
  let answered = false;
  let truncated = false;
  let began = now();

  const record = (kind, value) => {
    const ascii = value.replace(/[<\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
    return Buffer.from(`<${token}${kind}>${ascii}</${token}>\n`);
  };
  const put = (kind, value) => {
    const data = record(kind, value);
    for (let at = 0; at < data.length; ) {
      try {
        at += fs.writeSync(1, data, at);
      } catch (error) {
        if (error.code !== 'EAGAIN') throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  };
  const answer = (fields, output = '') => {
    if (answered) return;
    answered = true;
    const head = stringify({ executeMs: now() - began, truncated, ...fields });
    put('a', output ? `${head.slice(0, -1)},"output":${output}}` : head);
  };
  const described = (error) => {
    if (!(error instanceof Error)) return { errorType: typeof error, error: `the program threw ${String(error)}` };
    const lines = String(error.stack || error).split('\n');
    const last = lines.findLastIndex((line) => line.startsWith('    at ') && line.includes('program.js'));
    const own = lines.filter((line, at) => at <= last || !line.startsWith('    at '));
    return { errorType: error.name || 'Error', error: own.join('\n').slice(0, 1 << 15) };
  };
  const fail = (error) => {
    answer({ status: 'error', ...described(error) });
    exit(0);
  };
  const noResult = () => {
    const text = 'the program produced no result: assign `result`, or define `main(input_data)`';
    answer({ status: 'error', errorType: 'NoResult', error: text });
    exit(0);
  };
  const succeed = (value) => {
    if (value === undefined) noResult();
    const odd = new RegExp(`"${token}n(-?[A-Za-z0-9]+)"`, 'g');
    let text;
    try {
      text = stringify(value, (_, inner) => {
        if (typeof inner === 'bigint') return `${token}n${inner}`;
        return typeof inner === 'number' && !Number.isFinite(inner) ? `${token}n${inner}` : inner;
      });
      if (text === undefined) throw new TypeError(`a ${typeof value} is not JSON`);
    } catch (error) {
      const reason = `the result cannot be sent as JSON: ${error && error.message}`;
      answer({ status: 'error', errorType: (error && error.name) || 'Error', error: reason });
      exit(0);
    }
    answer({ status: 'success' }, text.replace(odd, '$1'));
    exit(0);
  };
  const watch = (ms) => {
    const { Worker } = require('worker_threads');
    const bytes = record('a', stringify({ status: 'timeout' }));
    const dog = `const { workerData: [wait, bytes, folder, pid] } = require('worker_threads');
      const fs = require('fs');
      setTimeout(() => {
        try { fs.writeSync(1, bytes); } catch {}
        try { fs.rmSync(folder, { recursive: true, force: true }); } catch {}
        process.kill(pid, 'SIGKILL');
      }, wait);`;
    new Worker(dog, { eval: true, workerData: [ms, bytes, folder, process.pid] }).unref();
  };
  const capture = (stream, kind) => {
    const decoder = new StringDecoder('utf8');
    let kept = 0;
    stream.write = (chunk, encoding, done) => {
      const whole = typeof chunk === 'string' ? chunk : decoder.write(Buffer.from(chunk));
      const text = whole.slice(0, keptCharacters - kept);
      kept += text.length;
      truncated ||= text.length < whole.length;
      if (text) put(kind, stringify(text));
      const call = typeof encoding === 'function' ? encoding : done;
      if (typeof call === 'function') process.nextTick(call);
      return true;
    };
  };

  if (timeoutMs !== null) watch(timeoutMs);
  capture(process.stdout, 'o');
  capture(process.stderr, 'e');
  process.on('uncaughtException', fail);
  process.on('beforeExit', noResult);
  process.on('exit', (exitCode) => {
    answer({ status: 'error', errorType: 'SystemExit', exitCode, error: `the program exited with code ${exitCode}` });
    process.chdir('/');
    fs.rmSync(folder, { recursive: true, force: true });
  });
  process.chdir(folder);
  process.argv.splice(1, Infinity, 'program.js');
  try {
    const mark = `${token}n`;
    const isOdd = (value) => typeof value === 'string' && value.startsWith(mark);
    const revive = inputJson.includes(mark) && ((_, value) => (isOdd(value) ? Number(value.slice(mark.length)) : value));
    globalThis.input_data = parse(inputJson, revive || undefined);
    const names = ['exports', 'require', 'module', '__filename', '__dirname'];
    const module = { exports: {} };
    const filename = 'program.js';
    vm.compileFunction(code, names, { filename }); // alone first: its errors shall be its own
    const tail = `\n;return [typeof result === 'undefined' ? undefined : result, typeof main === 'function' ? main : undefined];`;
    const program = vm.compileFunction(code + tail, names, { filename });
    began = now();
    const left = program.call(module.exports, module.exports, require, module, filename, folder);
    const [result, main] = Array.isArray(left) ? left : [globalThis.result, globalThis.main];
    const value = result === undefined && typeof main === 'function' ? main(globalThis.input_data) : result;
    if (value && typeof value.then === 'function') value.then(succeed, fail);
    else succeed(value);
  } catch (error) {
    fail(error);
  }
};
