//! Made-up PromQL, always the same for a seed.

/// Expressions that some parser had problems with, or could have.
pub(crate) const KNOWN: &[&str] = &[
    r#"{a="b" or c="d"}"#,
    r#"{a="b",c=~"d.*" or c!="d",e!~"f"}"#,
    r#"up{a="b" or c="d"}"#,
    r#"{"my.metric", "my.label"=~"v|w"}"#,
    r#"{"up"}"#,
    r#"{"team"="b"}"#,
    r#"{__name__="up"}"#,
    r#"up{team="b"} or up{team=~".*"} or up{team!="a"}"#,
    r#"{"or"="a", b="c"}"#,
    r#"sum by ("job") (up)"#,
    "up{x=~\"(a{9}){9}\", y!~`\\d+\\.\\w*`}",
    "up{x='it\\'s', y=\"\\u00e9\\x41\\101\\xc3\\xa9\"}",
    "up{x=`a\nb`}",
    "sum",
    "by",
    "offset",
    "avg + count",
    "start",
    "end",
    "and or or",
    "bool",
    "on",
    "without",
    "default",
    "limit",
    "if",
    "ifnot",
    "with",
    "with + 1",
    "limit{a=\"b\"}",
    "keep_metric_names",
    "median",
    "any",
    "union",
    "now",
    "rate",
    "rate{a=\"b\"}",
    "ru",
    "ttf",
    "le",
    "inf_total",
    "sum(a) default 1",
    "a if b",
    "sum(a) by (b) limit 3",
    "rate(a)",
    "a[5m:]",
    "a[1i]",
    "WITH (x = {a=\"b\"}) y{x}",
    "with (x = a) x",
    "count(a) keep_metric_names",
    "(a, b)",
    "a[5m] offset 1h",
    "{a=\"b\"}[5m]",
    "sum({a=\"b\"})",
    "a\u{b}",
    "é",
    "a # {",
    "\"a\" + b",
    "{}",
    "{,}",
    "{a=\"\"}",
    r#"label_replace(a, "team", "a", "x", "(.*)")"#,
    r#"count_values("team", a)"#,
    r#"label_join(a, "team", "\"", "b", "c")"#,
    "a @ start() offset -5m",
    "a offset 5m @ 1.5",
    "a[5m] @ end()",
    "1e308 * a",
    "-1e-300 + a",
    "0x1f + a",
    "a ^ -2 ^ 3",
    "-a ^ 2",
    "- - a",
    "a{b=\"\\\\\"} + c{d=\"}\"}",
    "a{b=\"{\"}",
    "a{b='\"'}",
    "a{b=\"'\"}",
    "a{b=\"`\"}",
    "a{b=`\"`}",
    "a{b=\"#\"}",
    "a{b=\"s 0\", c=\"s 1\", d=\"e 0\"}",
    "a{b=\"\u{fffd}\u{7f}\u{1}\"}",
    "a unless on(b) c",
    "a*on(b)group_left(c)d",
    "a == bool 1",
    "a atan2 b",
    "A AND B",
    "SUM(a) BY (b)",
    "absent(a{b=~\"c\"})",
    "absent_over_time(a[5m])",
    "topk(scalar(a), b)",
    "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
];

/// A source of expressions. None has a plus for a sign, which means nothing and is left out when an
/// expression is rewritten.
pub(crate) struct Generator(u64);

impl Generator {
    /// Seeds are any numbers but 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*; its high bits are the good ones.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        // 31 bits are left, which a usize always holds.
        usize::try_from(number).unwrap_or_default() % bound
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// An expression; nearly always a valid one.
    pub(crate) fn expression(&mut self) -> String {
        let depth = self.below(4);
        self.vector(depth)
    }

    fn blank(&mut self) -> &'static str {
        self.of(&["", " ", " ", "\n", "\t ", "  "])
    }

    fn duration(&mut self) -> &'static str {
        self.of(&[
            "5m", "1h", "30s", "1d", "1h30m", "15s", "500ms", "1w", "1y", "2m30s",
        ])
    }

    fn name(&mut self) -> &'static str {
        self.of(&[
            "load",
            "secret",
            "up",
            "http:requests:rate5m",
            "_x",
            "latency_count",
            "latency_bucket",
            "a1",
            "sum",
            "count",
            "group",
            "quantile",
        ])
    }

    fn text(&mut self) -> String {
        let body: String = (0..self.below(4))
            .map(|_| {
                self.of(&[
                    "a", "b", "hall", "é", " ", ",", "}", "{", "#", ".*", "(x|y)", "[0-9]+",
                    "team", "=", "or", "\\\\", "\\n", "\\t", "\\u00e9", "\\x41", "s 0", "e 0", "~",
                    "$1", "{9}", "\\\\d", "]", "(", ")",
                ])
            })
            .collect();
        match self.below(5) {
            0 => format!("'{body}'"),
            1 if !body.contains('\\') => format!("`{body}`"),
            _ => format!("\"{body}\""),
        }
    }

    fn regex(&mut self) -> &'static str {
        self.of(&[
            "\".+\"",
            "\"a|b\"",
            "'ha.*'",
            "`\\w+`",
            "\"(a{9}){9}\"",
            "\"\\\\d*x\"",
            "\"[^/]+/{1,2}\"",
            "\"\"",
            "\"load|secret\"",
            "\"(?i)SECRET\"",
        ])
    }

    fn matchers(&mut self) -> String {
        let all: Vec<String> = (0..self.below(4))
            .map(|_| {
                let label = self.of(&[
                    "job",
                    "team",
                    "place",
                    "cluster",
                    "__name__x",
                    "a",
                    "\"a.b\"",
                    "\"team\"",
                    "le",
                    "by",
                ]);
                let (left, right) = (self.blank(), self.blank());
                let (operator, value) = match self.below(4) {
                    0 => ("=", self.text()),
                    1 => ("!=", self.text()),
                    2 => ("=~", self.regex().to_owned()),
                    _ => ("!~", self.regex().to_owned()),
                };
                format!("{label}{left}{operator}{right}{value}")
            })
            .collect();
        let comma = self.of(&[",", ", ", " ,\n"]);
        let end = if all.is_empty() {
            ""
        } else {
            self.of(&["", "", ","])
        };
        format!("{}{end}", all.join(comma))
    }

    fn selector(&mut self) -> String {
        let blank = self.blank();
        match self.below(6) {
            0 | 1 => self.name().to_owned(),
            2 => {
                let regex = self.of(&["\"load|secret\"", "\".+\"", "`s.*t`"]);
                format!("{{{blank}__name__=~{regex},{}}}", self.matchers())
            }
            3 => {
                let name = self.of(&["\"load\"", "'a.b'", "`secret`"]);
                let matchers = self.matchers();
                let comma = if matchers.is_empty() { "" } else { "," };
                format!("{{{name}{comma}{matchers}}}")
            }
            _ => format!("{}{blank}{{{}}}", self.name(), self.matchers()),
        }
    }

    fn modified(&mut self, what: String) -> String {
        match self.below(8) {
            0 => format!("{what} offset {}", self.duration()),
            1 => format!("{what} offset -{}", self.duration()),
            2 => format!(
                "{what} @ {}",
                self.of(&["1700000000", "0", "start()", "end()", "1.5"])
            ),
            _ => what,
        }
    }

    fn range(&mut self, depth: usize) -> String {
        let duration = self.duration();
        let range = if depth > 0 && self.below(3) == 0 {
            let step = if self.below(2) == 0 { "" } else { "15s" };
            format!("({})[{duration}:{step}]", self.vector(depth - 1))
        } else {
            format!("{}[{duration}]", self.selector())
        };
        self.modified(range)
    }

    fn number(&mut self) -> &'static str {
        self.of(&[
            "1", "0.5", "2", "1e3", "0x1f", "100", "Inf", "-1", "3.25", "1e-3",
        ])
    }

    fn grouping(&mut self) -> &'static str {
        self.of(&[
            "by (team)",
            "by (place, job)",
            "without (place)",
            "by ()",
            "BY(le)",
        ])
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            let selector = self.selector();
            return self.modified(selector);
        }
        let depth = depth - 1;
        match self.below(9) {
            0 => {
                let function = self.of(&[
                    "rate",
                    "increase",
                    "sum_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "changes",
                    "absent_over_time",
                ]);
                format!("{function}({})", self.range(depth))
            }
            1 => {
                let function = self.of(&[
                    "abs",
                    "ceil",
                    "sort",
                    "absent",
                    "timestamp",
                    "floor",
                    "sgn",
                    "ln",
                ]);
                format!("{function}({}{})", self.blank(), self.vector(depth))
            }
            2 => {
                let aggregation =
                    self.of(&["sum", "count", "max", "avg", "min", "group", "stddev"]);
                let (grouping, blank) = (self.grouping(), self.blank());
                match self.below(3) {
                    0 => format!("{aggregation}({})", self.vector(depth)),
                    1 => format!("{aggregation} {grouping}{blank}({})", self.vector(depth)),
                    _ => format!("{aggregation}({}){blank}{grouping}", self.vector(depth)),
                }
            }
            3 => {
                let aggregation = self.of(&[
                    "topk(2, ",
                    "bottomk(1,",
                    "quantile(0.5,",
                    "count_values(\"x\", ",
                    "limitk(2,",
                ]);
                format!("{aggregation}{})", self.vector(depth))
            }
            4 => {
                let operator = self.of(&["and", "or", "unless", "AND", "Or"]);
                let on = self.of(&["", "", "on(team)", "ignoring (place)"]);
                format!(
                    "{} {operator} {on} {}",
                    self.vector(depth),
                    self.vector(depth)
                )
            }
            5 => {
                let operator = self.of(&[
                    "+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=",
                ]);
                let on = self.of(&[
                    "",
                    "",
                    "on(team)",
                    "on (place) group_left ()",
                    "ignoring(place) group_right(job)",
                ]);
                format!(
                    "{}{}{operator} {on} {}",
                    self.vector(depth),
                    self.blank(),
                    self.vector(depth)
                )
            }
            6 => {
                let operator = self.of(&["+", "*", "^", "> bool", "== bool", "/"]);
                let number = self.number();
                match self.below(2) {
                    0 => format!("({}) {operator} {number}", self.vector(depth)),
                    _ => format!("{number} {operator} {}", self.vector(depth)),
                }
            }
            7 => {
                let (value, regex) = (self.text(), self.regex());
                format!(
                    "label_replace({}, \"x\", {value}, \"team\", {regex})",
                    self.vector(depth)
                )
            }
            _ => format!("{}({})", self.of(&["", "-"]), self.vector(depth)),
        }
    }
}
