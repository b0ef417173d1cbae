// Google's csp_evaluator over policies: a JSON array of header values on standard input, an
// array of arrays of findings on standard output.
import { readFileSync } from "node:fs";
import evaluator from "csp_evaluator/dist/evaluator.js";
import finding from "csp_evaluator/dist/finding.js";
import parser from "csp_evaluator/dist/parser.js";

const checks = [...evaluator.DEFAULT_CHECKS];
const parsedChecks = [...evaluator.STRICTCSP_CHECKS];
const results = JSON.parse(readFileSync(0, "utf8")).map((text) =>
  new evaluator.CspEvaluator(new parser.CspParser(text).csp)
    .evaluate(parsedChecks, checks)
    .map((each) => ({
      severity: finding.Severity[each.severity],
      type: finding.Type[each.type],
      directive: each.directive,
      value: each.value ?? "",
      description: each.description,
    })),
);
process.stdout.write(JSON.stringify(results));
