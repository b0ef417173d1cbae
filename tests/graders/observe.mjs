// The MDN HTTP Observatory over a site on ports of this machine: its own retriever, analysers
// and scores. Its command line knows no ports, so this adds up as its scanner does.
// Arguments: host, HTTP port, HTTPS port, path. NODE_EXTRA_CA_CERTS names the private CA.
import { ALL_TESTS } from "@mdn/mdn-http-observatory/src/constants.js";
import { MINIMUM_SCORE_FOR_EXTRA_CREDIT } from "@mdn/mdn-http-observatory/src/grader/charts.js";
import { getGradeForScore, getScoreModifier } from "@mdn/mdn-http-observatory/src/grader/grader.js";
import { retrieve } from "@mdn/mdn-http-observatory/src/retriever/retriever.js";

const [host, httpPort, httpsPort, path] = process.argv.slice(2);
const retrieved = await retrieve(host, { httpPort, httpsPort, path });
if (!retrieved.responses.auto) {
  throw new Error("the site does not answer");
}
const tests = ALL_TESTS.map((test) => test(retrieved)).map((output) => ({
  name: output.constructor.name,
  pass: output.pass,
  result: output.result,
  modifier: getScoreModifier(output.result),
}));
const base = tests.reduce((sum, each) => sum + Math.min(each.modifier, 0), 100);
const whole = tests.reduce((sum, each) => sum + each.modifier, 100);
const { score, grade } = getGradeForScore(base >= MINIMUM_SCORE_FOR_EXTRA_CREDIT ? whole : base);
process.stdout.write(
  JSON.stringify({ score, grade, status: retrieved.responses.auto.status, tests }),
);
