// Run one program on one input as an ES module in a worker, and print the answer between marks: for Deno and Bun.
//
// The program has a thread of its own, because nothing else can end it while it spins: these servers keep no time, and
// their sandbox does not allow a program to kill itself. Every item has an empty folder of its own, where it may.
const supervise = (program, inputJson, token, timeoutMs) => {
  const deno = globalThis.Deno;
  let folder;
  try {
    folder = deno && deno.makeTempDirSync({ dir: '/tmp', prefix: 'loopai-item-' });
    if (folder) deno.chdir(folder);
  } catch {
    // without a folder of its own it runs in the session's
  }
  const end = (text) => {
    const ascii = text.replace(/[<\u007f-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
    console.log(`<${token}a>${ascii}</${token}>`);
    try {
      if (folder) deno.removeSync(folder, { recursive: true });
    } catch {
      // what is left in /tmp is not the program's answer
    }
    if (deno) deno.exit(0);
    process.exit(0);
  };
  const runner = `
    const { parse, stringify } = JSON;
    const post = self.postMessage.bind(self);
    let began = performance.now();
    let over = false;
    const answer = (fields, output) => {
      if (over) return;
      over = true;
      const head = stringify({ executeMs: performance.now() - began, ...fields });
      post(output ? head.slice(0, -1) + ',"output":' + output + '}' : head);
    };
    const fail = (error) => {
      if (!(error instanceof Error))
        return answer({ status: 'error', errorType: typeof error, error: 'the program threw ' + String(error) });
      const lines = String(error.stack || error).replace(/data:[^\\s()]*?(?=:\\d+:\\d+)/g, 'program.js').split('\\n')
        .filter((line) => !line.includes('self.onmessage'));
      const last = lines.findLastIndex((line) => line.startsWith('    at ') && line.includes('program.js'));
      const own = lines.filter((line, at) => at <= last || !line.startsWith('    at ')).join('\\n');
      const parsing = own.startsWith('TypeError: SyntaxError: '); // what an import says of a module that does not parse
      const text = (parsing ? own.slice('TypeError: '.length) : own).slice(0, 1 << 15);
      answer({ status: 'error', errorType: parsing ? 'SyntaxError' : error.name, error: text });
    };
    const left = (exitCode = 0) => {
      answer({ status: 'error', errorType: 'SystemExit', exitCode, error: 'the program exited with code ' + exitCode });
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    };
    let token;
    const succeed = (value) => {
      if (value === undefined) {
        const text = 'the program produced no result: assign \`result\`, or define \`main(input_data)\`';
        return answer({ status: 'error', errorType: 'NoResult', error: text });
      }
      try {
        const text = stringify(value, (_, inner) => {
          if (typeof inner === 'bigint') return token + 'n' + inner;
          return typeof inner === 'number' && !Number.isFinite(inner) ? token + 'n' + inner : inner;
        });
        if (text === undefined) throw new TypeError('a ' + typeof value + ' is not JSON');
        const odd = new RegExp('"' + token + 'n(-?[A-Za-z0-9]+)"', 'g');
        answer({ status: 'success' }, text.replace(odd, '$1'));
      } catch (error) {
        answer({ status: 'error', errorType: error.name, error: 'the result cannot be sent as JSON: ' + error.message });
      }
    };
    self.onmessage = async ({ data: [url, inputJson, mark] }) => {
      token = mark;
      const isOdd = (value) => typeof value === 'string' && value.startsWith(mark + 'n');
      const revive = (_, value) => (isOdd(value) ? Number(value.slice(mark.length + 1)) : value);
      try {
        if (globalThis.Deno) Deno.exit = left;
        if (globalThis.process) process.exit = left;
      } catch {}
      try {
        globalThis.input_data = parse(inputJson, inputJson.includes(mark) ? revive : undefined);
        globalThis.result = undefined; // so that a strict module may assign it undeclared
        began = performance.now();
        const { __left } = await import(url);
        const [result, main] = __left();
        succeed(await (result === undefined && typeof main === 'function' ? main(globalThis.input_data) : result));
      } catch (error) {
        fail(error);
      }
    };`;
  const worker = new Worker('data:text/javascript;base64,' + btoa(runner), { type: 'module' });
  const failed = (error) => end(JSON.stringify({ status: 'error', errorType: 'Error', error: String(error) }));
  worker.onmessage = ({ data }) => end(data);
  worker.onerror = (event) => {
    event.preventDefault();
    failed(event.message);
  };
  if (timeoutMs !== null) setTimeout(() => end('{"status":"timeout"}'), timeoutMs);
  worker.postMessage([program, inputJson, token]);
};
