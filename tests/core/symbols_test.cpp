// Dims and Facts: algebraic laws on random expressions, equality that follows, and what the facts answer.
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "graph/text.h"
#include "symbols/dim_values.h"
#include "symbols/facts.h"

namespace dvm {
namespace {

using Values = std::map<std::string, std::int64_t>;

std::int64_t evaluate(const Dims& dims, Dim dim, const Values& values) {
  const Dims::Node& node = dims.node(dim);
  switch (node.kind) {
    case DimKind::kConstant:
      return node.value;
    case DimKind::kSymbol:
      return values.at(node.name);
    case DimKind::kOperation:
      return apply(node.op, evaluate(dims, node.a, values), evaluate(dims, node.b, values));
    case DimKind::kPolynomial:
      break;
  }
  std::int64_t sum = 0;
  for (const Monomial& term : node.terms) {
    std::int64_t product = term.factor;
    for (const Dim atom : term.atoms) product *= evaluate(dims, atom, values);
    sum += product;
  }
  return sum;
}

// An expression made twice: as a Dim, and as a function that knows nothing of canonical forms.
struct Expression {
  Dim dim;
  std::function<std::int64_t(const Values&)> value;
};

Expression random_expression(Dims& dims, std::mt19937& random, int depth) {
  if (depth == 0 || random() % 6 == 0) {
    if (random() % 3 == 0) {
      const auto number = static_cast<std::int64_t>(random() % 13) - 4;
      return {dims.constant(number), [number](const Values&) { return number; }};
    }
    const std::string name(1, static_cast<char>('a' + random() % 4));
    return {dims.symbol(name), [name](const Values& values) { return values.at(name); }};
  }
  const auto op = static_cast<DimOp>(random() % 7);
  const Expression x = random_expression(dims, random, depth - 1);
  const Expression y = random_expression(dims, random, depth - 1);
  return {dims.binary(op, x.dim, y.dim),
          [op, x, y](const Values& values) { return apply(op, x.value(values), y.value(values)); }};
}

Values random_values(std::mt19937& random) {
  Values values;
  for (const char* name : {"a", "b", "c", "d"})
    values[name] = static_cast<std::int64_t>(random() % 20);
  return values;
}

TEST(the_canonical_form_has_the_value_of_what_was_written) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    Dims dims;
    const Expression e = random_expression(dims, random, 4);
    for (int i = 0; i < 5; ++i) {
      const Values values = random_values(random);
      if (!CHECK(evaluate(dims, e.dim, values) == e.value(values))) {
        std::cerr << dims.text(e.dim) << "\n";
        return;
      }
    }
  }
}

TEST(printed_dims_parse_to_themselves) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    Dims dims;
    const Dim dim = random_expression(dims, random, 4).dim;
    const std::string text = dims.text(dim);
    Dims others;
    for (const char* name : {"d", "c", "b", "a"}) others.symbol(name);
    const Dim again = others.parse(text);
    const Values values = random_values(random);
    CHECK(evaluate(dims, dim, values) == evaluate(others, again, values));
    Dims same;
    for (const char* name : {"a", "b", "c", "d"}) {
      if (dims.look_up(name) >= 0) same.symbol(name);
    }
    if (!CHECK(same.text(same.parse(text)) == text)) {
      std::cerr << text << " is printed as " << same.text(same.parse(text)) << "\n";
      return;
    }
  }
}

TEST(sums_and_products_form_a_ring) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    Dims dims;
    const Dim x = random_expression(dims, random, 2).dim;
    const Dim y = random_expression(dims, random, 2).dim;
    const Dim z = random_expression(dims, random, 2).dim;
    const auto plus = [&](Dim a, Dim b) { return dims.binary(DimOp::kAdd, a, b); };
    const auto minus = [&](Dim a, Dim b) { return dims.binary(DimOp::kSubtract, a, b); };
    const auto times = [&](Dim a, Dim b) { return dims.binary(DimOp::kMultiply, a, b); };
    CHECK(plus(x, y) == plus(y, x));
    CHECK(times(x, y) == times(y, x));
    CHECK(plus(plus(x, y), z) == plus(x, plus(y, z)));
    CHECK(times(times(x, y), z) == times(x, times(y, z)));
    CHECK(times(x, plus(y, z)) == plus(times(x, y), times(x, z)));
    CHECK(dims.is_constant(minus(x, x), 0));
    CHECK(minus(plus(x, y), y) == x);
  }
}

void check_same(const std::vector<std::pair<const char*, const char*>>& pairs) {
  for (const auto& [a, b] : pairs) {
    Dims dims;
    if (!CHECK(dims.parse(a) == dims.parse(b)))
      std::cerr << a << " is " << dims.text(dims.parse(a)) << ", " << b << " is "
                << dims.text(dims.parse(b)) << "\n";
  }
}

TEST(equal_expressions_are_one_dim) {
  check_same({{"(a+b)*2", "2*a+2*b"},
              {"a*b", "b*a"},
              {"a-a", "0"},
              {"(a+b)*(a-b)", "a*a-b*b"},
              {"(4*n)//4", "n"},
              {"(n*6)%3", "0"},
              {"(n*4+m+9)//4", "n+(m+1)//4+2"},
              {"(n-1)//2+1", "(n+1)//2"},
              {"-((-n)//4)", "(n+3)//4"},
              {"(2*n+1)//4", "n//2"},
              {"(n//2)//3", "n//6"},
              {"(n//2+1)//3", "(n+2)//6"},
              {"(2*n+3)%4", "2*((n+1)%2)+1"},
              {"(2*a)//(2*b)", "a//b"},
              {"(2*a)%(2*b)", "2*(a%b)"},
              {"n//1", "n"},
              {"n%1", "0"},
              {"0//n", "0"},
              {"n//0", "0"},
              {"n//-2", "(-n)//2"}});
}

TEST(extremes_fold) {
  check_same({{"min(a,a)", "a"},
              {"max(a,b)", "max(b,a)"},
              {"min(a,a+1)", "a"},
              {"max(n-1,n+2)", "n+2"},
              {"min(a,min(b,c))", "min(min(a,b),c)"},
              {"min(3,5)", "3"},
              {"min(a,max(a,b))", "a"},
              {"max(1,max(n,2))", "max(n,2)"},
              {"min(a,b,a)", "min(b,a)"}});
}

TEST(divisions_by_what_may_be_zero_stay) {
  Dims dims;
  CHECK(!dims.is_constant(dims.parse("n//n")));
  CHECK(dims.parse("(n*m)//m") != dims.parse("n"));
}

TEST(text_is_simple) {
  Dims dims;
  for (const char* text : {"n", "12", "(n*12)", "((n+1)//2)", "(a-b)", "(b-a)", "(a*b+n+1)",
                           "min(a,b)", "max((n-1),1)", "(n%8)", "((a+b)//c)", "(a*-1)"})
    CHECK(dims.text(dims.parse(text)) == text ||
          (std::cerr << dims.text(dims.parse(text)) << "\n", false));
}

TEST(text_that_is_no_dim_is_refused) {
  Dims dims;
  const auto refuses = [&](const std::string& text, const char* wanted) {
    return test::throws([&] { dims.parse(text); }, wanted);
  };
  CHECK(refuses("", "wanted a number or a name"));
  CHECK(refuses("(n+1", "wanted a closing parenthesis"));
  CHECK(refuses("n & 2", "wanted one of"));
  CHECK(refuses("min(a", "wanted a comma"));
  CHECK(refuses("99999999999999999999", "wanted a number of 64 bits"));
  CHECK(refuses(std::string(5000, '(') + "n", "wanted fewer nested parentheses"));
  CHECK(refuses(std::string(5000, '-') + "n", "wanted fewer nested parentheses"));
}

TEST(factors_that_leave_64_bits_are_an_error) {
  Dims dims;
  CHECK(test::throws([&] { dims.parse("n*4611686018427387904*2"); }, "does not fit 64 bits"));
  CHECK(test::throws([&] { dims.parse("9223372036854775807+1"); }, "does not fit 64 bits"));
  const Dim square = dims.parse("n*n");
  DimValues values(dims);
  CHECK(values.bind(dims.symbol("n"), std::int64_t{1} << 40));
  CHECK(test::throws([&] { values.get(square); }, "(n*n) does not fit 64 bits"));
}

TEST(long_products_are_kept_as_written) {
  Dims dims;
  std::string text = "(a0+b0)";
  for (int i = 1; i < 40; ++i)
    text = "(" + text + "*(a" + std::to_string(i) + "+b" + std::to_string(i) + "))";
  const Dim dim = dims.parse(text);
  CHECK(dims.size() < 500);
  CHECK(dims.parse(dims.text(dim)) == dim);
}

// Equality.

TEST(equality_found_later_reaches_expressions) {
  Dims dims;
  const Dim x = dims.parse("a+1"), y = dims.parse("b+1");
  const Dim u = dims.parse("(a*c)//(b+2)"), v = dims.parse("(b*c)//(a+2)");
  CHECK(!dims.same(x, y));
  CHECK(dims.unify(dims.parse("a"), dims.parse("b")));
  CHECK(dims.same(x, y));
  CHECK(dims.same(u, v));
  CHECK(dims.same(dims.parse("max(a,3)"), dims.parse("max(3,b)")));
}

TEST(a_symbol_can_be_an_expression) {
  Dims dims;
  const Dim half = dims.parse("s//2"), area = dims.parse("s*t");
  CHECK(dims.unify(dims.symbol("s"), dims.parse("2*h")));
  CHECK(dims.same(half, dims.symbol("h")));
  CHECK(dims.same(area, dims.parse("h*t*2")));
  CHECK(dims.unify(dims.symbol("h"), dims.constant(3)));
  CHECK(dims.is_constant(dims.symbol("s"), 6));
  CHECK(dims.is_constant(half, 3));
}

TEST(equations_are_solved) {
  Dims dims;
  CHECK(dims.unify(dims.parse("2*a+4"), dims.parse("2*b")));
  CHECK(dims.same(dims.parse("a+2"), dims.parse("b")));
  CHECK(dims.unify(dims.parse("3*c"), dims.constant(12)));
  CHECK(dims.is_constant(dims.symbol("c"), 4));
}

TEST(contradictions_are_reported) {
  const auto contradicts = [](const char* a, const char* b) {
    Dims dims;
    return !dims.unify(dims.parse(a), dims.parse(b));
  };
  CHECK(contradicts("3", "4"));
  CHECK(contradicts("n", "n+1"));
  CHECK(contradicts("2*n", "2*m+1"));
  Dims dims;
  CHECK(dims.unify(dims.parse("a+1"), dims.constant(4)));
  CHECK(dims.unify(dims.parse("b"), dims.parse("a")));
  CHECK(!dims.unify(dims.parse("b"), dims.constant(5)));
}

TEST(what_cannot_be_solved_stays_as_an_equation) {
  Dims dims;
  const Dim product = dims.parse("a*b");
  CHECK(dims.unify(product, dims.parse("c*d")));
  CHECK(dims.same(product, dims.parse("c*d")));
  CHECK(!dims.equations().empty());
  CHECK(dims.unify(dims.symbol("c"), dims.symbol("e")));
  CHECK(dims.same(dims.parse("d*e"), product));
}

// Random equations that hold for one assignment must leave every expression with its value under it.
TEST(equalities_that_hold_for_values_keep_them) {
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    Dims dims;
    const Values values = random_values(random);
    std::vector<Expression> made;
    for (int i = 0; i < 12; ++i) made.push_back(random_expression(dims, random, 3));
    for (int i = 0; i < 6; ++i) {
      // x == y + (the difference they happen to have)
      const Expression &x = made[random() % made.size()], &y = made[random() % made.size()];
      const Dim gap = dims.constant(x.value(values) - y.value(values));
      if (!CHECK(dims.unify(x.dim, dims.binary(DimOp::kAdd, y.dim, gap)))) return;
    }
    for (const Expression& e : made) {
      if (!CHECK(evaluate(dims, dims.find(e.dim), values) == e.value(values))) return;
    }
    for (const Dims::Equation& equation : dims.equations())
      CHECK(evaluate(dims, equation.expression, values) ==
            evaluate(dims, equation.equal_to, values));
  }
}

TEST(the_first_symbol_names_its_class) {
  Dims dims;
  const Dim a = dims.symbol("a"), b = dims.symbol("b");
  (void)dims.parse("b+1"), (void)dims.parse("b+2"), (void)dims.parse("b+3");
  CHECK(dims.unify(a, b));
  CHECK(dims.text(b) == "a");
  CHECK(dims.text(dims.parse("b+1")) == "(a+1)");
  CHECK(dims.written(b) == "b");
}

// Facts.

struct Known {
  Facts facts;
  Dim operator()(const std::string& text) { return facts.dims().parse(text); }
  std::vector<Dim> shape(std::initializer_list<const char*> texts) {
    std::vector<Dim> dims;
    for (const char* text : texts) dims.push_back((*this)(text));
    return dims;
  }
  bool multiple(const char* dim, std::int64_t by) {
    return facts.state({.kind = FactKind::kMultiple, .a = (*this)(dim), .numbers = {by}});
  }
  bool range(const char* dim, std::int64_t low, std::int64_t high) {
    return facts.state({.kind = FactKind::kRange, .a = (*this)(dim), .numbers = {low, high}});
  }
  bool equal(const char* a, const char* b) {
    return facts.state({.kind = FactKind::kEqual, .a = (*this)(a), .b = (*this)(b)});
  }
};

TEST(multiples_propagate) {
  Known k;
  CHECK(k.multiple("n", 8));
  CHECK(k.facts.divisible(k("n"), 4));
  CHECK(!k.facts.divisible(k("n"), 16));
  CHECK(k.facts.divisible(k("n*6"), 16));
  CHECK(k.facts.divisible(k("n*m+16"), 8));
  CHECK(k.facts.divisible(k("8*m"), 8));
  CHECK(k.facts.divisible(k("n//2"), 4));
  CHECK(k.facts.divisible(k("max(n,24)"), 8));
  CHECK(!k.facts.divisible(k("n+m"), 2));
  CHECK(k.facts.dims().is_constant(k("n%8"), 0));
  CHECK(k.multiple("p+q", 3));
  CHECK(k.facts.divisible(k("2*p+2*q"), 6));
  CHECK(k.multiple("n", 12));
  CHECK(k.facts.divisor(k("n")) == 24);
}

TEST(a_remainder_of_zero_is_a_multiple) {
  Known k;
  CHECK(k.equal("n%8", "0"));
  CHECK(k.facts.divisible(k("n"), 8));
  CHECK(k.equal("m", "n"));
  CHECK(k.facts.divisible(k("m+8"), 8));
}

TEST(ranges_propagate) {
  Known k;
  CHECK(k.range("n", 2, 10));
  const auto range = [&](const char* text) { return k.facts.range(k(text)); };
  CHECK(range("n") == (Range{2, 10}));
  CHECK(range("3*n-1") == (Range{5, 29}));
  CHECK(range("10-n") == (Range{0, 8}));
  CHECK(range("n*n") == (Range{4, 100}));
  CHECK(range("n//3") == (Range{0, 3}));
  CHECK(range("min(n,4)") == (Range{2, 4}));
  CHECK(range("max(n,m)") == (Range{2, Range::kMost}));
  CHECK(range("m%5") == (Range{0, 4}));
  CHECK(range("m") == (Range{0, Range::kMost}));
  CHECK(k.equal("n", "m"));
  CHECK(range("m+1") == (Range{3, 11}));
}

TEST(ranges_hold_for_all_values_within) {
  std::mt19937 random(9);
  for (int round = 0; round < 1500; ++round) {
    Known k;
    for (const char* name : {"a", "b", "c", "d"}) CHECK(k.range(name, 0, 19));
    CHECK(k.multiple("b", 2));
    const Expression e = random_expression(k.facts.dims(), random, 3);
    const Range range = k.facts.range(e.dim);
    const std::int64_t divisor = k.facts.divisor(e.dim);
    for (int i = 0; i < 10; ++i) {
      Values values = random_values(random);
      values["b"] &= ~1;
      const std::int64_t value = e.value(values);
      CHECK(range.low <= value && value <= range.high);
      CHECK(divisor == 0 ? value == 0 : value % divisor == 0);
      CHECK(k.facts.could_be(e.dim, value));
    }
  }
}

TEST(a_range_of_one_value_is_the_value) {
  Known k;
  CHECK(k.range("n", 5, 9));
  CHECK(k.range("n", 1, 5));
  CHECK(k.facts.dims().is_constant(k("n"), 5));
}

TEST(facts_that_exclude_each_other_are_refused) {
  Known k;
  CHECK(k.range("n", 5, 9));
  CHECK(!k.range("n", 10, 12));
  Known j;
  CHECK(j.multiple("n", 8));
  CHECK(!j.equal("n", "12"));
  Known i;
  CHECK(i.range("n", 1, 4) && i.range("m", 6, 9));
  CHECK(!i.equal("n", "m"));
}

TEST(a_broadcast_is_needed_where_a_size_could_be_1) {
  Known k;
  CHECK(k.facts.could_be(k("n"), 1));
  CHECK(k.multiple("n", 8));
  CHECK(!k.facts.could_be(k("n"), 1));
  CHECK(k.facts.could_be(k("n"), 0));
  CHECK(k.range("m", 2, 100));
  CHECK(!k.facts.could_be(k("m"), 1));
  CHECK(!k.facts.could_be(k("m+3"), 4));
}

TEST(element_counts_are_compared_as_products) {
  Known k;
  CHECK(k.facts.same_count(k.shape({"b", "s", "h*d"}), k.shape({"b*s", "h", "d"})));
  CHECK(!k.facts.same_count(k.shape({"b", "s"}), k.shape({"b", "t"})));
  CHECK(!k.facts.same_count(k.shape({"n"}), k.shape({"n//8", "8"})));
  CHECK(k.multiple("n", 8));
  CHECK(k.facts.same_count(k.shape({"n"}), k.shape({"n//8", "8"})));
  CHECK(k.facts.same_count(k.shape({"n", "n"}), k.shape({"n//8", "n//4", "32"})));
  CHECK(k.facts.same(k("(n//8)*8"), k("n")));
}

TEST(shapes_fall_into_groups_of_equal_products) {
  Known k;
  using Groups = std::vector<DimGroup>;
  const auto groups = [&](auto from, auto to) {
    return k.facts.groups(k.shape(from), k.shape(to));
  };
  using Texts = std::initializer_list<const char*>;
  CHECK(groups(Texts{"b", "s", "h*d"}, Texts{"b*s", "h", "d"}) ==
        (Groups{{0, 2, 0, 1}, {2, 3, 1, 3}}));
  CHECK(groups(Texts{"a", "b"}, Texts{"a", "b"}) == (Groups{{0, 1, 0, 1}, {1, 2, 1, 2}}));
  CHECK(groups(Texts{"a", "b"}, Texts{"b", "a"}) == (Groups{{0, 2, 0, 2}}));
  CHECK(groups(Texts{"6", "n"}, Texts{"2", "3", "n"}) == (Groups{{0, 1, 0, 2}, {1, 2, 2, 3}}));
}

TEST(likely_values_are_kept) {
  Known k;
  CHECK(k.facts.state({.kind = FactKind::kLikely, .a = k("n"), .numbers = {1, 128}}));
  CHECK(k.equal("n", "m"));
  CHECK(k.facts.likely(k("m")) == (std::vector<std::int64_t>{1, 128}));
}

TEST(facts_without_meaning_are_refused) {
  Known k;
  CHECK(test::throws([&] { (void)k.multiple("n", 0); },
                     "[fact] multiple(n, 0): a multiple is of one positive number"));
}

TEST(graph_text_keeps_facts) {
  const std::string text =
      "graph g {\n"
      "  fact multiple(n, 8)\n"
      "  %0 = input x : f32[n, m]\n"
      "  fact equal(m, k)\n"
      "  fact range((n+1), 2, 513)\n"
      "  fact likely(n, 1, 128)\n"
      "  %1 = input y : f32[m]\n"
      "  %2 = add(%0, %1) : f32[n, m]\n"
      "  return %2\n"
      "}\n";
  CHECK(print(parse_graph(text)) == text);
  CHECK(test::throws([] { parse_graph("graph g {\n  fact odd(n)\n"); },
                     "line 2: unknown fact \"odd\""));
  CHECK(test::throws([] { parse_graph("graph g {\n  fact equal(2, 3)\n"); },
                     "equal(2, 3) contradicts"));
}

// Seconds for the dims, facts and questions of a graph of `nodes` operations: equalities in an order that makes
// chains and classes, products of reshapes, and one of each question per operation.
double seconds_for(int nodes) {
  const std::clock_t begin = std::clock();
  Facts facts;
  Dims& dims = facts.dims();
  int answers = 0;
  Dim last = dims.symbol("s0");
  std::vector<Dim> sizes;
  for (int i = 1; i <= nodes; ++i) {
    const Dim s = dims.symbol("s" + std::to_string(i));
    const Dim next = dims.binary(DimOp::kAdd, s, dims.constant(1));
    sizes.push_back(dims.binary(DimOp::kMultiply, next, dims.symbol("h")));
    switch (i % 4) {
      case 0:
        answers += facts.state({.kind = FactKind::kMultiple, .a = s, .numbers = {8}});
        break;
      case 1:
        answers += facts.equal(s, last, "add", i);
        break;
      case 2:
        answers += facts.equal(dims.binary(DimOp::kMultiply, s, dims.constant(2)),
                               dims.binary(DimOp::kMultiply, last, dims.constant(2)), "reshape", i);
        break;
      default:
        answers += facts.state({.kind = FactKind::kRange, .a = s, .numbers = {1, 1000}});
    }
    last = i % 7 == 0 ? s : last;
    const std::vector<Dim> a{s, next, dims.symbol("h")}, b{s, sizes.back()};
    answers += facts.same_count(a, b) + facts.divisible(sizes.back(), 8) + facts.could_be(next, 1);
  }
  // Backwards: each class meets the ones before it.
  for (int i = nodes - 1; i > 0; --i) answers += facts.equal(sizes[i], sizes[i - 1], "cat", i);
  CHECK(answers > nodes);
  CHECK(dims.same(sizes.front(), sizes.back()));
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

TEST(deciding_is_near_linear) {
  double small = 9, large = 9;
  for (int round = 0; round < 3; ++round) {
    small = std::min(small, seconds_for(10'000));
    large = std::min(large, seconds_for(40'000));
  }
  std::cerr << "        10 000 nodes: " << small * 1e3 << " ms, 40 000: " << large * 1e3 << " ms\n";
  CHECK(small < 1);          // sanitized and on a busy machine
  CHECK(large < 9 * small);  // quadratic would be 16 times
}

}  // namespace
}  // namespace dvm
