// Makes an example out of a schema: its own where it has one, else the least that it asks for.

/** Return a value that looks like what *schema* describes. */
export function example(schema, api, depth = 0) {
  if (schema.$ref) return example(api.components.schemas[schema.$ref.split("/").at(-1)], api, depth);
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const kind = [schema.type].flat()[0];
  if (kind === "object" || schema.properties) return anObject(schema, api, depth);
  const choice = schema.oneOf ?? schema.anyOf;
  if (choice) return example(choice[0], api, depth);
  if (kind === "array") return depth > 4 || !schema.items ? [] : [example(schema.items, api, depth + 1)];
  if (kind === "integer" || kind === "number") return schema.minimum ?? 1;
  if (kind === "boolean") return true;
  return /\^\[1-9\]/.test(schema.pattern ?? "") ? "1" : "text";
}

function anObject(schema, api, depth) {
  const needed = schema.required ?? schema.oneOf?.[0]?.required ?? [];
  const made = {};
  for (const name of needed) {
    if (schema.properties?.[name] && depth < 5) made[name] = example(schema.properties[name], api, depth + 1);
  }
  if (needed.length === 0 && schema.minProperties && schema.additionalProperties) {
    made["1"] = schema.additionalProperties.type === "integer" ? 100 : example(schema.additionalProperties, api, depth + 1);
  }
  return made;
}
