// Which launch method a task gets, and how its kind of MPI is found out.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "bench.hpp"
#include "launch/program.hpp"
#include "node/launch_method.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

class FakeMethod final : public LaunchMethod {
 public:
  FakeMethod(std::string_view name, std::vector<MpiKind> kinds) : name_(name), kinds_(std::move(kinds)) {}
  std::string_view name() const override { return name_; }
  bool fits(MpiKind kind) const override { return std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end(); }
  void prepare(const StartTask&, MpiKind, LaunchEvents) override {}

 private:
  std::string_view name_;
  std::vector<MpiKind> kinds_;
};

LaunchMethods three() {
  LaunchMethods methods;
  methods.push_back(std::make_unique<FakeMethod>("direct", std::vector{MpiKind::none}));
  methods.push_back(std::make_unique<FakeMethod>("pmix", std::vector{MpiKind::openmpi, MpiKind::pmix}));
  methods.push_back(std::make_unique<FakeMethod>("pmi", std::vector{MpiKind::mpich}));
  return methods;
}

std::pair<MpiKind, std::string> never_asked() {
  FAIL("the program was looked at");
  return {};
}

}  // namespace

TEST_CASE("a task without mpi is started directly, whatever the launcher for MPI tasks") {
  const auto methods = three();
  for (const char* launcher : {"auto", "pmix", "pmi"}) {
    const auto chosen = choose_method(methods, launcher, MpiKind::none, &never_asked);
    REQUIRE(chosen.ok());
    CHECK(chosen->method->name() == "direct");
    CHECK(chosen->why.empty());
  }
}

TEST_CASE("the task's word decides, then what the program is linked to, then Open MPI") {
  const auto methods = three();
  const auto said = choose_method(methods, "auto", MpiKind::mpich, &never_asked);
  REQUIRE(said.ok());
  CHECK(said->why == "pmi: the task says MPICH");
  const auto found = choose_method(methods, "auto", MpiKind::automatic, [] {
    return std::pair(MpiKind::mpich, std::string("./a is linked to libmpich.so.12"));
  });
  REQUIRE(found.ok());
  CHECK(found->why == "pmi: ./a is linked to libmpich.so.12");
  const auto unknown =
      choose_method(methods, "auto", MpiKind::automatic, [] { return std::pair(MpiKind::none, std::string()); });
  REQUIRE(unknown.ok());
  CHECK(unknown->method->name() == "pmix");
  CHECK(unknown->why.find("so Open MPI") != std::string::npos);
}

TEST_CASE("--launcher overrides, and a method that is not built is an error that says so") {
  auto methods = three();
  const auto forced = choose_method(methods, "pmi", MpiKind::openmpi, &never_asked);
  REQUIRE(forced.ok());
  CHECK(forced->method->name() == "pmi");
  methods.erase(methods.begin() + 1);
  const auto missing = choose_method(methods, "auto", MpiKind::openmpi, &never_asked);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().text().find("no launch method for Open MPI tasks") != std::string::npos);
  CHECK_FALSE(choose_method(methods, "pmix", MpiKind::openmpi, &never_asked).ok());
}

TEST_CASE("libraries are known by their names") {
  const std::pair<const char*, MpiKind> known[] = {
      {"libmpi.so.40", MpiKind::openmpi}, {"libmpi.so.12", MpiKind::mpich},      {"libmpich.so.12", MpiKind::mpich},
      {"libpmix.so.2", MpiKind::pmix},    {"libmpi_cray.so.12", MpiKind::mpich}, {"libmpi_cxx.so.40", MpiKind::none},
      {"libmpip.so", MpiKind::none},      {"libc.so.6", MpiKind::none},          {"", MpiKind::none}};
  for (const auto& [name, kind] : known) CHECK_MESSAGE(mpi_of_library(name) == kind, name);
}

TEST_CASE("an ELF file says what it needs; anything else needs nothing, however damaged") {
  const ElfNeeds own = elf_needs("/proc/self/exe");
  CHECK(std::count(own.needed.begin(), own.needed.end(), "libc.so.6") == 1);
  Folder folder;
  const auto path = folder.path() / "damaged";
  write(path, "#!/bin/sh\n");
  CHECK(elf_needs(path).needed.empty());
  CHECK(elf_needs(folder.path() / "nowhere").needed.empty());
  const std::string whole = read("/proc/self/exe").substr(0, 64u << 10);
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 8; ++i) bytes[random() % 2048] = static_cast<char>(random());
    bytes.resize(random() % bytes.size());
    write(path, bytes);
    static_cast<void>(elf_needs(path));
  }
}

TEST_CASE("a script is as its interpreter, and a program without MPI is not told") {
  Folder folder;
  const auto path = folder.path() / "script";
  write(path, "#!/usr/bin/env sh\necho\n");
  ::chmod(path.c_str(), 0755);
  ProgramKinds kinds;
  const Variables variables{{"PATH", "/usr/bin:/bin"}};
  CHECK(kinds.find(path, variables, "/").kind == MpiKind::none);
  CHECK(kinds.find("sh", variables, "/").kind == MpiKind::none);
  CHECK(kinds.find("no-such-program", variables, "/").kind == MpiKind::none);
}
