# escape=`
FROM mcr.microsoft.com/windows/servercore AS `
  base
COPY a.txt C:\temp\
RUN echo `
    one && `
    echo two
ENV P=C:\x`"y" Q="a`"b"
