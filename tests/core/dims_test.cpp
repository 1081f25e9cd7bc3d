// Dims: algebraic laws on random expressions, and equality that follows. Facts about them are facts_test.cpp's.
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "random_dims.h"
#include "symbols/dim_values.h"
#include "symbols/facts.h"

namespace dvm {
namespace {

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

}  // namespace
}  // namespace dvm
