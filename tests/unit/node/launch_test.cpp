// How a program's kind of MPI is found out.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "bench.hpp"
#include "launch/program.hpp"

using namespace trireme;
using namespace trireme::test;

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
