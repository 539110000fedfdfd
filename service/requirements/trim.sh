#!/bin/sh
# Takes away what a gateway never opens, from the folder of installed packages that is named.
set -eu
cd "$1"
# The benchmark, with the weights of sarlens-nano.
rm -rf sarbench
# Tests that libraries install of themselves.
find . -depth -type d -name tests -exec rm -rf {} +
# What AWS services are like: S3 is asked, and those that credentials come from.
find botocore/data -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +
# Symbols for debuggers. Libraries that wheels bundle are left alone: they were edited after linking, and strip breaks them.
find . -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +
