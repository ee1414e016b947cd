// The description of the API as a page: every call with what it takes and answers.
"use strict";

let contract = null;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// What a {"$ref": "#/a/b"} stands for; anything else stands for itself.
const resolve = (value) =>
  value && value.$ref ? value.$ref.split("/").slice(1).reduce((at, name) => at[name], contract) : value;

// A schema in a few words: "integer, 1 to 500, default 50", "DatasetList".
function words(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(words).join(" or ");
  if (schema.enum) return schema.enum.join(", ");
  const said = [[].concat(schema.type || "any").join(" or ")];
  if (schema.items) said[0] += ` of ${words(schema.items)}`;
  if (schema.format) said.push(schema.format);
  if (schema.maximum !== undefined) said.push(`${schema.minimum} to ${schema.maximum}`);
  if (schema.default !== undefined) said.push(`default ${schema.default}`);
  return said.join(", ");
}

function line(name, schema, note) {
  const made = element("li");
  made.append(element("code", "", name), `: ${words(schema)} `, element("span", "quiet", note || ""));
  return made;
}

function list(details, title, lines) {
  if (lines.length === 0) return;
  const made = element("ul");
  made.append(...lines);
  details.append(element("p", "quiet", title), made);
}

// The members of an object, as the body of a request or a schema of its own.
function members(schema) {
  const whole = resolve(schema);
  const required = new Set(whole.required || []);
  return Object.entries(whole.properties || {}).map(([name, member]) =>
    line(name, member, [required.has(name) ? "required" : "", member.description || ""].filter(Boolean).join("; ")));
}

function describe(path, method, operation) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("strong", "", `${method.toUpperCase()} ${path}`), " ", element("span", "quiet", operation.summary || ""));
  details.append(summary);
  if (operation.description) details.append(element("p", "", operation.description));
  list(details, "takes", (operation.parameters || []).map(resolve).map((parameter) =>
    line(`${parameter.in} ${parameter.name}`, parameter.schema, parameter.description)));
  for (const [type, body] of Object.entries((operation.requestBody || {}).content || {})) {
    list(details, `body, ${type}`, members(body.schema));
  }
  list(details, "answers", Object.entries(operation.responses || {}).map(([code, reference]) => {
    const answer = resolve(reference);
    const content = Object.entries(answer.content || {}).map(([type, body]) => `${words(body.schema)} (${type})`);
    return line(code, { type: content.join(" or ") || "nothing" }, answer.description);
  }));
  return details;
}

function describeSchema(name, schema) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("strong", "", name));
  details.append(summary);
  list(details, schema.description || "members", members(schema));
  return details;
}

async function show() {
  const response = await fetch("/api/openapi.json", { credentials: "same-origin" });
  if (!response.ok) throw new Error(`the server answered ${response.status}: sign in on the page first`);
  contract = await response.json();
  const place = document.getElementById("calls");
  for (const [path, operations] of Object.entries(contract.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (method !== "parameters") place.append(describe(path, method, operation));
    }
  }
  place.append(element("h2", "", "What is answered"));
  for (const [name, schema] of Object.entries(contract.components.schemas)) place.append(describeSchema(name, schema));
}

show().catch((error) => document.getElementById("calls").append(element("p", "error", error.message)));
