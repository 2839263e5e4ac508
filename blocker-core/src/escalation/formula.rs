//! Formulas for the length of a ban: arithmetic on a few names, and nothing else.
//!
//! ```text
//! formula    = alternative
//! alternative = comparison [ "if" comparison "else" alternative ]
//! comparison = shift [ ("<" | "<=" | ">" | ">=" | "==" | "!=") shift ]
//! shift      = sum { ("<<" | ">>") sum }
//! sum        = product { ("+" | "-") product }
//! product    = sign { ("*" | "/" | "//" | "%") sign }
//! sign       = [ "-" | "+" ] sign | power
//! power      = value [ "**" sign ]
//! value      = number | name | function "(" [ formula { "," formula } ] ")" | "(" formula ")"
//! ```
//!
//! Operators bind as they do in Python, so that formulas written for fail2ban mean the same. Everything is a float; what is
//! no finite number in the end is no result.

use std::fmt;

/// A formula that was read.
#[derive(Clone, Debug)]
pub struct Formula {
    text: String,
    root: Node,
}

/// What the names in a formula stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// `ban.Time`, `time`: the jail's ban time in seconds.
    pub time: f64,
    /// `ban.Count`, `count`: earlier bans.
    pub count: f64,
    /// `banFactor`, `factor`.
    pub factor: f64,
    /// `random()`, `random.random()`: from 0 up to 1.
    pub random: f64,
}

/// Why a text is no formula.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {found}, expected {expected}")]
pub struct InvalidFormula {
    /// Where, counted from 1.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What could.
    pub expected: &'static str,
}

/// Longest formula, in bytes.
pub const MAX_FORMULA_BYTES: usize = 1_024;

/// Deepest nesting of a formula.
const MAX_DEPTH: usize = 64;

impl Formula {
    /// Reads a formula.
    ///
    /// # Errors
    ///
    /// Where it is none, and why.
    pub fn parse(text: &str) -> Result<Self, InvalidFormula> {
        if text.len() > MAX_FORMULA_BYTES {
            let found = format!("{} bytes", text.len());
            return Err(InvalidFormula { at: 1, found, expected: "at most 1024 bytes" });
        }
        let mut parser = Parser { text, at: 0, depth: 0 };
        let root = parser.alternative()?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.fault("an operator or the end"));
        }
        Ok(Self { text: text.to_owned(), root })
    }

    /// What it comes to; `None` if that is no finite number.
    #[must_use]
    pub fn result(&self, values: Values) -> Option<f64> {
        Some(self.root.result(&values)).filter(|result| result.is_finite())
    }
}

/// As they are written.
impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Formula {}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Number(f64),
    Name(Name),
    Negated(Box<Node>),
    Operation(Operator, Box<[Node; 2]>),
    /// What if what, and what else.
    Choice(Box<[Node; 3]>),
    Call(Function, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Time,
    Count,
    Factor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Power,
    ShiftLeft,
    ShiftRight,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Exp,
    Log,
    Sqrt,
    Pow,
    Floor,
    Ceil,
    Identity,
    Whole,
    Random,
}

impl Node {
    fn result(&self, values: &Values) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(Name::Time) => values.time,
            Self::Name(Name::Count) => values.count,
            Self::Name(Name::Factor) => values.factor,
            Self::Negated(node) => -node.result(values),
            Self::Operation(operator, operands) => {
                let [left, right] = &**operands;
                operator.apply(left.result(values), right.result(values))
            }
            Self::Choice(parts) => {
                let [then, condition, other] = &**parts;
                if condition.result(values) == 0.0 { other.result(values) } else { then.result(values) }
            }
            Self::Call(function, arguments) => {
                let arguments: Vec<f64> = arguments.iter().map(|argument| argument.result(values)).collect();
                function.call(&arguments, values)
            }
        }
    }
}

impl Operator {
    fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |is_true: bool| f64::from(u8::from(is_true));
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::DivideWhole => (left / right).floor(),
            // The sign is that of the divisor.
            Self::Remainder => left - right * (left / right).floor(),
            Self::Power => left.powf(right),
            Self::ShiftLeft => left * right.trunc().exp2(),
            Self::ShiftRight => (left / right.trunc().exp2()).floor(),
            Self::Less => truth(left < right),
            Self::LessOrEqual => truth(left <= right),
            Self::Greater => truth(left > right),
            Self::GreaterOrEqual => truth(left >= right),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
        }
    }
}

impl Function {
    /// What it is called, and how many operands it takes.
    fn by_name(name: &str) -> Option<(Self, std::ops::RangeInclusive<usize>)> {
        Some(match name.strip_prefix("math.").unwrap_or(name) {
            "min" => (Self::Min, 1..=MAX_OPERANDS),
            "max" => (Self::Max, 1..=MAX_OPERANDS),
            "exp" => (Self::Exp, 1..=1),
            "log" => (Self::Log, 1..=2),
            "sqrt" => (Self::Sqrt, 1..=1),
            "pow" => (Self::Pow, 2..=2),
            "floor" => (Self::Floor, 1..=1),
            "ceil" => (Self::Ceil, 1..=1),
            "float" => (Self::Identity, 1..=1),
            "int" => (Self::Whole, 1..=1),
            "random" | "random.random" => (Self::Random, 0..=0),
            _ => return None,
        })
    }

    fn call(self, arguments: &[f64], values: &Values) -> f64 {
        let first = arguments.first().copied().unwrap_or(f64::NAN);
        match self {
            Self::Min => arguments.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => arguments.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Exp => first.exp(),
            Self::Log => arguments.get(1).map_or(first.ln(), |base| first.log(*base)),
            Self::Sqrt => first.sqrt(),
            Self::Pow => arguments.get(1).map_or(f64::NAN, |exponent| first.powf(*exponent)),
            Self::Floor => first.floor(),
            Self::Ceil => first.ceil(),
            Self::Identity => first,
            Self::Whole => first.trunc(),
            Self::Random => values.random,
        }
    }
}

/// Most operands of a function.
const MAX_OPERANDS: usize = 8;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Parsed = Result<Node, InvalidFormula>;

impl Parser<'_> {
    fn alternative(&mut self) -> Parsed {
        self.deeper(|parser| {
            let then = parser.comparison()?;
            if !parser.word("if") {
                return Ok(then);
            }
            let condition = parser.comparison()?;
            if !parser.word("else") {
                return Err(parser.fault("`else`"));
            }
            let other = parser.alternative()?;
            Ok(Node::Choice(Box::new([then, condition, other])))
        })
    }

    fn comparison(&mut self) -> Parsed {
        const OPERATORS: [(&str, Operator); 6] = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let left = self.shift()?;
        match self.operator(&OPERATORS) {
            Some(operator) => Ok(Node::Operation(operator, Box::new([left, self.shift()?]))),
            None => Ok(left),
        }
    }

    fn shift(&mut self) -> Parsed {
        self.chain(&[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)], Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        self.chain(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Parsed {
        let operators = [
            ("//", Operator::DivideWhole),
            ("/", Operator::Divide),
            ("*", Operator::Multiply),
            ("%", Operator::Remainder),
        ];
        self.chain(&operators, Self::sign)
    }

    fn chain(&mut self, operators: &[(&str, Operator)], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = operand(self)?;
        while let Some(operator) = self.operator(operators) {
            left = Node::Operation(operator, Box::new([left, operand(self)?]));
        }
        Ok(left)
    }

    fn sign(&mut self) -> Parsed {
        self.deeper(|parser| {
            if parser.symbol("-") {
                return Ok(Node::Negated(Box::new(parser.sign()?)));
            }
            if parser.symbol("+") {
                return parser.sign();
            }
            let base = parser.value()?;
            if parser.symbol("**") {
                return Ok(Node::Operation(Operator::Power, Box::new([base, parser.sign()?])));
            }
            Ok(base)
        })
    }

    fn value(&mut self) -> Parsed {
        const EXPECTED: &str = "a number, `time`, `count`, `factor`, a function or `(`";
        self.space();
        if self.symbol("(") {
            let inner = self.alternative()?;
            return if self.symbol(")") { Ok(inner) } else { Err(self.fault("`)`")) };
        }
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if digits > 0 {
            let number = rest[..digits].parse().map_err(|_| self.fault("a number"))?;
            self.at += digits;
            return Ok(Node::Number(number));
        }
        let name = self.name();
        if name.is_empty() {
            return Err(self.fault(EXPECTED));
        }
        let begin = self.at;
        let known = match name {
            "time" | "ban.Time" => Some(Name::Time),
            "count" | "ban.Count" => Some(Name::Count),
            "factor" | "banFactor" => Some(Name::Factor),
            _ => None,
        };
        let (name, function) = (name.len(), Function::by_name(name));
        self.at += name;
        match (known, function) {
            (Some(known), _) => Ok(Node::Name(known)),
            (None, Some((function, operands))) if self.symbol("(") => {
                let arguments = self.arguments()?;
                if operands.contains(&arguments.len()) {
                    Ok(Node::Call(function, arguments))
                } else {
                    self.at = begin;
                    Err(self.fault("a function with as many operands as it takes"))
                }
            }
            (None, _) => {
                self.at = begin;
                Err(self.fault(EXPECTED))
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>, InvalidFormula> {
        let mut arguments = Vec::new();
        if self.symbol(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.alternative()?);
            if self.symbol(")") {
                return Ok(arguments);
            }
            if !self.symbol(",") {
                return Err(self.fault("`,` or `)`"));
            }
        }
    }

    /// Keeps nesting from reaching the end of the stack.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == MAX_DEPTH {
            return Err(self.fault("less nesting"));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// The name that begins here.
    fn name(&self) -> &str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        &rest[..end]
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let is_next = self.name() == word;
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.space();
        // `*` is not the beginning of `**`.
        let is_next = self.rest().starts_with(symbol) && !(symbol == "*" && self.rest().starts_with("**"));
        self.at += if is_next { symbol.len() } else { 0 };
        is_next
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        self.space();
        // Nor is `<` that of `<<`.
        let is_shift =
            |symbol: &str| symbol.len() == 1 && (self.rest().starts_with("<<") || self.rest().starts_with(">>"));
        let (symbol, operator) =
            operators.iter().find(|(symbol, _)| self.rest().starts_with(symbol) && !is_shift(symbol))?;
        if *symbol == "*" && self.rest().starts_with("**") {
            return None;
        }
        self.at += symbol.len();
        Some(*operator)
    }

    fn fault(&self, expected: &'static str) -> InvalidFormula {
        let rest = self.rest();
        let found = match rest.split_whitespace().next() {
            Some(word) => format!("{:?}", word.chars().take(20).collect::<String>()),
            None => "the end".to_owned(),
        };
        InvalidFormula { at: self.text[..self.at].chars().count() + 1, found, expected }
    }
}

#[cfg(test)]
mod tests;
