# Compiler options shared by every target of the project, as an interface target: trireme_options.
add_library(trireme_options INTERFACE)
target_include_directories(trireme_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(trireme_options INTERFACE TRIREME_VERSION="${PROJECT_VERSION}" OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
target_compile_options(trireme_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow
                       $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
                       -Wno-missing-field-initializers  # designated initializers mean the rest to be as declared
                       -Wno-restrict)  # g++ 12 sees overlaps in std::string that are not there
if(TRIREME_WERROR)
  target_compile_options(trireme_options INTERFACE -Werror)
endif()
if(CMAKE_UNITY_BUILD)
  target_compile_options(trireme_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)  # takes an included .cpp file for a header
endif()
if(TRIREME_SANITIZE MATCHES thread)
  target_compile_options(trireme_options INTERFACE -Wno-tsan)  # Asio's fences are not instrumented
endif()
if(TRIREME_SANITIZE)
  add_compile_options(-fsanitize=${TRIREME_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TRIREME_SANITIZE})
endif()

# -O3 makes nothing here measurably faster, and building slower.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Most of a full build is the same headers over and over: presets other than dev build several sources at a time
# (CMAKE_UNITY_BUILD), and tests, whose names need not be unique, share precompiled headers.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 10)

# trireme_library(NAME SOURCES a.cpp … LINKS t …): one static library per folder under src/, aliased trireme::NAME. The same objects
# go into the program and into the shared library, which hides all that is not marked (src/library).
function(trireme_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(trireme_${name} STATIC ${ARG_SOURCES})
  add_library(trireme::${name} ALIAS trireme_${name})
  target_link_libraries(trireme_${name} PUBLIC trireme_options ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  set_target_properties(trireme_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# trireme_test(NAME SOURCES a.cpp … LINKS t …): one doctest program per folder under tests/unit/.
function(trireme_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE trireme_options trireme_test_main ${ARG_LINKS})
  target_compile_definitions(test_${name} PRIVATE DOCTEST_CONFIG_SUPER_FAST_ASSERTS)  # fast to compile
  target_compile_options(test_${name} PRIVATE -O0)  # what a test tries is optimised, the test need not be
  set_target_properties(test_${name} PROPERTIES UNITY_BUILD OFF)
  if(CMAKE_UNITY_BUILD)
    target_precompile_headers(test_${name} PRIVATE <doctest/doctest.h> <algorithm> <chrono> <filesystem> <fstream> <functional>
                              <future> <map> <memory> <optional> <set> <sstream> <string> <thread> <unordered_map> <variant> <vector>)
  endif()
  target_compile_definitions(test_${name} PRIVATE TRIREME_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_dependencies(unit_tests test_${name})
  add_test(NAME unit.${name} COMMAND test_${name})
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT 600 LABELS unit)
endfunction()

# trireme_embed(VARIABLE FILES NAME TYPE PATH …): sets VARIABLE to initializers {"NAME", "TYPE", content} of text files, for a
# template that configure_file() fills in. A file that changes makes CMake run again.
function(trireme_embed variable)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(out "")
  while(ARG_FILES)
    list(POP_FRONT ARG_FILES name type path)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} text)
    string(APPEND out "    {\"${name}\", \"${type}\", R\"embedded(${text})embedded\"},\n")
  endwhile()
  set(${variable} "${out}" PARENT_SCOPE)
endfunction()
