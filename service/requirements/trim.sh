#!/bin/sh
# Removes files that a gateway never opens from a folder of installed packages: trim.sh FOLDER.
set -eu
cd "$1"
# The benchmark, with the weights of sarlens-nano.
rm -rf sarbench
# Build tools of NumPy.
rm -rf numpy/f2py numpy/distutils
# Syntax of languages other than Python, for Rich's tracebacks.
find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py ! -name python.py ! -name special.py -delete
# Tests of libraries, and what they use.
rm -rf sqlalchemy/testing
find . -depth -type d -name tests -exec rm -rf {} +
# Sources of compiled modules, and types for editors.
find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete
# Descriptions of AWS services, except S3 and the services that issue credentials.
find botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +
# Debug symbols. strip would break the libraries that wheels bundle, because they were modified after linking.
find . -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +
