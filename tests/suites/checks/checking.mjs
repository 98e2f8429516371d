// As checking.py, for the clients in JavaScript.

export const ROOT_URL = process.env.QUICKTHAW_URL;
export const URL = `${ROOT_URL}/v1`;
export const KEY = process.env.QUICKTHAW_KEY;
export const MODEL = "chat";
export const QUESTION = "What is the weather in Paris?";
export const PERSON_QUESTION = "Ada is 36 years old. Who is she?";

const checks = [];

// Adds a check: an async function that fails where it throws.
export function check(name, body) {
  checks.push([name, body]);
}

// Runs all checks in order and tells what became of each.
export async function run() {
  for (const [name, body] of checks) {
    let found = { name, verdict: "passed", message: "" };
    try {
      await body();
    } catch (error) {
      const said = error?.responseBody ?? error?.cause?.message ?? "";
      found = { name, verdict: "failed", message: `${error?.stack ?? error}\n${said}` };
    }
    console.log(JSON.stringify(found));
  }
}
