"""An installation as others use it: a program that embeds the runtime is built outside of this tree and runs under the real launcher."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness

MPICXX = os.environ["TRIREME_MPICXX"]
NAMES = {"openmpi": "Open MPI", "mpich": "MPICH"}
OTHER = {"openmpi": "mpich", "mpich": "openmpi"}.get(harness.MPI)
PROJECT = f"{harness.HERE}/embedding"


def run(*command, code=0, **keywords):
    result = subprocess.run(command, capture_output=True, text=True, timeout=harness.DEADLINE, **keywords)
    assert result.returncode == code, f"{command}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
    return result


class Embedding(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp(prefix="trireme-install-")
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.prefix = f"{cls.place}/prefix"
        run("cmake", "--install", harness.BUILD, "--prefix", cls.prefix)
        found = [folder for folder, _, files in os.walk(cls.prefix) if "libtrireme.so" in files]
        assert len(found) == 1, found
        cls.library_folder = found[0]
        cls.pkg_config = dict(os.environ, PKG_CONFIG_PATH=f"{cls.library_folder}/pkgconfig")

    def configure(self, folder, *options, **keywords):
        return run("cmake", "-S", PROJECT, "-B", folder, "-G", "Ninja", f"-DSOURCE={harness.SOURCE}", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                   *options, **keywords)

    def build(self, *options):
        """The project, built against the installation; gives its folder."""
        folder = f"{self.folder}/build"
        self.configure(folder, *options)
        run("cmake", "--build", folder)
        return folder

    def flags(self, package):
        return run("pkg-config", "--cflags", "--libs", package, env=self.pkg_config).stdout.split()

    def compile_with_pkg_config(self):
        program = f"{self.folder}/embed"
        run(MPICXX, "-std=c++20", f"{harness.SOURCE}/tests/ranks/embed.cpp", "-o", program, *self.flags("trireme"))
        return program

    def start_ranks(self, ranks, *command, **environment):
        process = subprocess.Popen(
            [harness.MPIEXEC, "-n", str(ranks), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self.environment(**environment), cwd=self.folder, start_new_session=True,
        )
        started = harness.Run(process, f"{self.folder}/run", self.mark)
        self.addCleanup(self.end, started)
        return started

    def assert_embeds(self, program, **environment):
        """Half of the ranks run a task and a service while the others compute; all go on together, and nobody has said a word too much."""
        ended = self.start_ranks(4, program, f"{self.folder}/run", **environment).finish()
        self.assertEqual(ended.stderr, "")
        self.assertEqual(ended.code, 0)
        self.assertEqual(ended.stdout, "task: exit 0; service: 200\ntogether: 6\n")
        self.assertEqual(ended.summary()["ranks"], 2)
        self.assert_nothing_left()

    def test_headers_stand_by_themselves(self):
        folder = f"{self.prefix}/include/trireme"
        headers = sorted(os.listdir(folder))
        self.assertLessEqual({"runtime.hpp", "native.hpp", "native.h", "function.h"}, set(headers))
        for name in headers:
            with open(f"{folder}/{name}") as file:
                includes = re.findall(r'^\s*#\s*include\s*(["<])([^">]+)', file.read(), re.M)
            for mark, included in includes:
                if mark == '"':
                    self.assertIn(included.removeprefix("trireme/"), headers, name)
                else:
                    self.assertRegex(included, r"^([a-z_]+|mpi\.h|stddef\.h)$", name)
            c = name.endswith(".h")
            # Without MPI's own bindings for C++, which are not free of warnings.
            skip = ["-DOMPI_SKIP_MPICXX", "-DMPICH_SKIP_MPICXX"]
            run(*(["cc", "-std=c99", "-x", "c"] if c else [MPICXX, "-std=c++20", "-x", "c++", *skip]), "-fsyntax-only", "-Wall", "-Wextra",
                "-Werror", "-pedantic-errors", f"-I{self.prefix}/include", "-include", f"trireme/{name}", "/dev/null")

    def test_library_shows_the_api_and_nothing_else(self):
        shown = run("nm", "-DC", "--defined-only", f"{self.library_folder}/libtrireme.so").stdout.splitlines()
        names = {line.split(" ", 2)[2] for line in shown}
        self.assertTrue(any(name.startswith("trireme::run(") for name in names), names)
        self.assertEqual({name for name in names if not re.match(r"trireme::(run\(|Client::)", name)}, set())
        self.assertRegex(run("readelf", "-d", f"{self.library_folder}/libtrireme.so").stdout, r"SONAME.*\[libtrireme\.so\.\d+\.\d+\]")

    def test_cmake_project(self):
        folder = self.build(f"-DMPI_CXX_COMPILER={MPICXX}")
        self.assert_embeds(f"{folder}/embed")

    def test_pkg_config_from_a_place_it_was_moved_to(self):
        program = self.compile_with_pkg_config()
        moved = f"{self.folder}/elsewhere"
        shutil.copytree(self.prefix, moved, symlinks=True)
        library = moved + self.library_folder.removeprefix(self.prefix)
        # No helper lies where the library was linked from, so that it can only find those it was moved with.
        hidden = f"{self.prefix}.hidden"
        os.rename(self.prefix, hidden)
        self.addCleanup(os.rename, hidden, self.prefix)
        self.assert_embeds(program, LD_LIBRARY_PATH=library)

        function = f"{self.folder}/functions.so"
        run("cc", "-shared", "-fPIC", f"-I{moved}/include", f"{harness.SOURCE}/scaling/functions/noop.c", "-o", function)
        flow = self.workflow(f"tasks: {{one: {{function: {{library: {function}, symbol: noop}}}}}}\n")
        run(f"{moved}/bin/trireme", "run", flow, "--run-dir", f"{self.folder}/flow", cwd=self.folder, env=self.environment())

    def test_missing_helper_is_named_with_the_places_looked_at(self):
        program = self.compile_with_pkg_config()
        helper = f"{self.prefix}/libexec/trireme/trireme-spawner"
        os.rename(helper, helper + ".gone")
        self.addCleanup(os.rename, helper + ".gone", helper)
        ended = self.start_ranks(2, program, f"{self.folder}/run", LD_LIBRARY_PATH=self.library_folder).finish()
        self.assertEqual(ended.code, 4)
        self.assertIn(f"cannot find the program trireme-spawner (set TRIREME_SPAWNER to its path; looked at {self.library_folder}/trireme-spawner, {helper}",
                      ended.stderr)
        self.assertIn("together: 1", ended.stdout)

    def test_native_needs_no_mpi(self):
        folder = self.build("-DCOMPONENTS=native", "-DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON")
        self.assertFalse(os.path.exists(f"{folder}/embed"))
        for name in ["client", "c_client"]:
            self.assertNotRegex(run("ldd", f"{folder}/{name}").stdout, "libmpi|libtrireme")
        run("c++", "-std=c++20", f"{harness.SOURCE}/tests/programs/native_client.cpp", "-o", f"{self.folder}/client", *self.flags("trireme-native"))

    @unittest.skipUnless(OTHER and shutil.which(f"mpicxx.{OTHER}"), "there is no second MPI here")
    def test_other_mpi_is_refused(self):
        other = f"mpicxx.{OTHER}"
        words = f"was built for {NAMES[harness.MPI]} "
        refused = self.configure(f"{self.folder}/build", f"-DMPI_CXX_COMPILER={shutil.which(other)}", code=1).stderr
        self.assertIn(words, " ".join(refused.split()))
        refused = run(other, "-std=c++20", "-fsyntax-only", f"{harness.SOURCE}/tests/ranks/embed.cpp", *self.flags("trireme"), code=1).stderr
        self.assertIn(words, refused)

    def test_interrupt_ends_the_program_and_its_tasks(self):
        started = self.start_ranks(2, f"{harness.BUILD}/tests/ranks/embed_cases", "--long", f"{self.folder}/run",
                                   TRIREME_SPAWNER=f"{harness.BUILD}/trireme-spawner", OMPI_MCA_btl_vader_backing_directory=self.folder)
        harness.wait_until(lambda: os.path.exists(f"{self.folder}/run/tasks/long/0/stdout"), "the task runs")
        started.process.send_signal(signal.SIGINT)
        # With what code is the launcher's own affair (MPICH's may say 0); MPI's shared memory is left behind by ranks that die of a signal.
        started.finish()
        harness.wait_until(lambda: not harness.processes_with(self.mark), "the program and its tasks are gone", 30)
        self.assertEqual(os.listdir(self.tmp), [])


if __name__ == "__main__":
    unittest.main()
