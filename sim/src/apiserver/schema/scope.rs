//! Finds in a rule what does not exist: variables, functions, and fields that the schema does not have.
//!
//! Kubernetes checks the types of a whole rule when a definition is written; `kube-cel` learns them when the rule
//! is evaluated. This finds the misspelt names, which are what goes wrong, and leaves operators and arguments be.

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use kube_cel::cel::{Context, ExecutionError, Program};
use serde_json::Value;

/// What is known of a rule's variables while it is read.
struct Scope<'a> {
    /// Names, and the schemas of what they stand for where that is known; the innermost last.
    bound: Vec<(String, Option<&'a Value>)>,
    functions: Context<'static>,
}

/// The first thing in an expression that does not exist, in the words of a CEL compiler.
pub(super) fn undeclared(
    expression: &str,
    schema: &Value,
    old_is_optional: bool,
) -> Option<String> {
    let program = Program::compile(expression).ok()?;
    let old = Some(schema).filter(|_| !old_is_optional);
    let mut scope = Scope {
        bound: vec![("self".to_owned(), Some(schema)), ("oldSelf".to_owned(), old)],
        functions: Context::default().with_all(),
    };
    scope.kind(program.expression()).err()
}

impl<'a> Scope<'a> {
    /// The schema of what an expression stands for, if it is known.
    fn kind(&mut self, expr: &IdedExpr) -> Result<Option<&'a Value>, String> {
        match &expr.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let of = self.kind(&select.operand)?;
                of.map_or(Ok(None), |of| field(of, &select.field))
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(object) => self.entries(object.entries.iter().map(|entry| &entry.expr)),
            Expr::Literal(_) | Expr::Unspecified => Ok(None),
        }
    }

    fn variable(&self, name: &str) -> Result<Option<&'a Value>, String> {
        const TYPES: [&str; 12] = [
            "bool",
            "bytes",
            "double",
            "duration",
            "dyn",
            "int",
            "list",
            "map",
            "null_type",
            "string",
            "timestamp",
            "uint",
        ];
        match self.bound.iter().rfind(|(bound, _)| bound == name) {
            Some((_, schema)) => Ok(*schema),
            None if TYPES.contains(&name) => Ok(None),
            None => Err(format!("undeclared reference to '{name}' (in container '')")),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<Option<&'a Value>, String> {
        let mut names = vec![call.func_name.clone()];
        let mut of = None;
        if let Some(target) = &call.target {
            // What stands before the dot may be a part of the function's name, as in `ip.isCanonical`.
            if let Expr::Ident(prefix) = &target.expr {
                names.push(format!("{prefix}.{}", call.func_name));
            }
            if !names.get(1).is_some_and(|name| self.is_function(name)) {
                of = self.kind(target)?;
            }
        }
        let is_operator = !call.func_name.starts_with(|first: char| first.is_ascii_alphabetic());
        if !is_operator && !names.iter().any(|name| self.is_function(name)) {
            return Err(format!("undeclared reference to '{}' (in container '')", call.func_name));
        }
        let mut arguments = Vec::new();
        for argument in &call.args {
            arguments.push(self.kind(argument)?);
        }
        let of = of.or_else(|| arguments.first().copied().flatten());
        Ok(of.filter(|_| call.func_name == "_[_]").and_then(element))
    }

    /// Whether a function is there: one that is complains of its arguments, or of none.
    fn is_function(&self, name: &str) -> bool {
        let Ok(called) = Program::compile(&format!("{name}()")) else { return false };
        !matches!(called.execute(&self.functions), Err(ExecutionError::UndeclaredReference(_)))
    }

    fn comprehension(&mut self, over: &ComprehensionExpr) -> Result<Option<&'a Value>, String> {
        let range = self.kind(&over.iter_range)?;
        self.kind(&over.accu_init)?;
        let outside = self.bound.len();
        // Of a map, the variable stands for the keys.
        let element = range.filter(|range| range["items"].is_object()).and_then(element);
        self.bound.push((over.iter_var.clone(), element.filter(|_| over.iter_var2.is_none())));
        self.bound.extend(over.iter_var2.clone().map(|second| (second, None)));
        self.bound.push((over.accu_var.clone(), None));
        let inside = [&over.loop_cond, &over.loop_step, &over.result];
        let found = inside.into_iter().try_for_each(|part| self.kind(part).map(drop));
        self.bound.truncate(outside);
        found.map(|()| None)
    }

    fn all(&mut self, parts: &[IdedExpr]) -> Result<Option<&'a Value>, String> {
        parts.iter().try_for_each(|part| self.kind(part).map(drop)).map(|()| None)
    }

    fn entries<'b>(
        &mut self,
        entries: impl Iterator<Item = &'b EntryExpr>,
    ) -> Result<Option<&'a Value>, String> {
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => self.kind(&field.value)?,
                EntryExpr::MapEntry(entry) => {
                    self.kind(&entry.key).and_then(|_| self.kind(&entry.value))?
                }
            };
        }
        Ok(None)
    }
}

/// The schema of a field of an object, which has to be there if the schema names its fields.
fn field<'a>(schema: &'a Value, name: &str) -> Result<Option<&'a Value>, String> {
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true
        || schema["x-kubernetes-embedded-resource"] == true
        || schema["x-kubernetes-int-or-string"] == true;
    // A name with two underscores in a row may be the escaped form of another.
    if is_open || name.contains("__") {
        return Ok(None);
    }
    if schema["type"] != "object" {
        let kind = schema["type"].as_str().unwrap_or_default();
        return Err(format!("type '{kind}' does not support field selection"));
    }
    match (schema["properties"].get(name), element(schema)) {
        (Some(field), _) => Ok(Some(field)),
        (None, Some(value)) => Ok(Some(value)),
        (None, None) => Err(format!("undefined field '{name}'")),
    }
}

/// The schema of the elements of a list, or of the values of a map.
fn element(schema: &Value) -> Option<&Value> {
    let each = ["items", "additionalProperties"].into_iter().map(|each| &schema[each]);
    each.into_iter().find(|each| each.is_object())
}
